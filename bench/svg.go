package main

import (
	"fmt"
	"html"
	"strings"
)

// svg is a drawing that is written from top to bottom. Everything in it is placed by the same few rules from the same
// figures, so the same results give the same bytes.
type svg struct {
	width, height float64
	body          strings.Builder
}

// colors are the classes of the drawings: for light pages, and for dark ones where the reader's system says so.
const colors = `<style>
text{font:12px system-ui,sans-serif;fill:#3c3f45}
.t{font-size:14px;font-weight:600;fill:#17191c}
.m{fill:#6b7078}
.g{stroke:#e2e4e8}
.w{stroke:#3c3f45}
.q{fill:#2a6fdb}.f{fill:#a3a9b3}.x{fill:#d9772b}
.l0{stroke:#2a6fdb;fill:#2a6fdb}.l1{stroke:#d9772b;fill:#d9772b}.l2{stroke:#2d8f5a;fill:#2d8f5a}.l3{stroke:#8a5ad0;fill:#8a5ad0}.l4{stroke:#b8406a;fill:#b8406a}.l5{stroke:#7d838c;fill:#7d838c}
@media(prefers-color-scheme:dark){
text{fill:#c9cdd4}.t{fill:#f0f2f5}.m{fill:#959ba5}.g{stroke:#363a41}.w{stroke:#e2e4e8}
.q{fill:#5b9bff}.f{fill:#6f7680}.x{fill:#f0985a}
.l0{stroke:#5b9bff;fill:#5b9bff}.l1{stroke:#f0985a;fill:#f0985a}.l2{stroke:#5cc48c;fill:#5cc48c}.l3{stroke:#b690f0;fill:#b690f0}.l4{stroke:#ec7fa4;fill:#ec7fa4}.l5{stroke:#9aa0aa;fill:#9aa0aa}
}
</style>
`

// lineColors is how many classes l0, l1, … there are.
const lineColors = 6

// bytes is the whole file.
func (s *svg) bytes(title string) []byte {
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img">
<title>%s</title>
%s%s</svg>
`, at(s.width), at(s.height), at(s.width), at(s.height), html.EscapeString(title), colors, s.body.String())
}

// at writes a place with a tenth of a pixel.
func at(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") }

func (s *svg) text(class, anchor string, x, y float64, text string) {
	fmt.Fprintf(&s.body, "<text class=\"%s\" text-anchor=\"%s\" x=\"%s\" y=\"%s\">%s</text>\n", class, anchor, at(x), at(y), html.EscapeString(text))
}

func (s *svg) line(class string, width, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&s.body, "<line class=\"%s\" stroke-width=\"%s\" x1=\"%s\" y1=\"%s\" x2=\"%s\" y2=\"%s\"/>\n", class, at(width), at(x1), at(y1), at(x2), at(y2))
}

func (s *svg) rect(class string, x, y, width, height float64) {
	fmt.Fprintf(&s.body, "<rect class=\"%s\" x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" rx=\"2\"/>\n", class, at(x), at(y), at(max(width, 1)), at(height))
}

// polyline draws a line through points, x and y in turns.
func (s *svg) polyline(class string, dashed bool, points []float64) {
	places := make([]string, 0, len(points)/2)
	for i := 0; i+1 < len(points); i += 2 {
		places = append(places, at(points[i])+","+at(points[i+1]))
	}
	style := "fill:none"
	if dashed {
		style += ";stroke-dasharray:6 3"
	}
	fmt.Fprintf(&s.body, "<polyline class=\"%s\" style=\"%s\" stroke-width=\"2\" stroke-linejoin=\"round\" points=\"%s\"/>\n", class, style, strings.Join(places, " "))
}
