package quiver

import "slices"

// WithDefaults is the same schema with other defaults of some top-level columns, in the Go types that ParseDefault
// gives; nil stands for none. It has the same id: what is stored under it is what is stored under the schema.
func (s *Schema) WithDefaults(defaults map[ColumnID]any) *Schema {
	other := *s
	other.changelog = new(changelogSchema)
	other.columns = slices.Clone(s.columns)
	for id, value := range defaults {
		if i, ok := s.byID[id]; ok {
			other.columns[i].Default = value
		}
	}
	return &other
}
