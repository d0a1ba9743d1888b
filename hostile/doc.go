// Hostile runs the real server in 256 MB, an honest tenant at a steady rate, and every attack that is known at once, in
// turns of calm and attack, and measures what the tenant notices.
//
//	go run ./hostile -rounds 5 -calm 10s -attack 10s -out report.json
//
// The attackers are a process of their own with the lowest priority: what they compute is not the server's to bear. The
// tenant is open-loop: a call that is late is measured from when it was due.
//
//	main.go    phases, and what must hold
//	server.go  the process under attack: flags, memory, metrics
//	tenant.go  the honest one: puts, lookups, reads
//	attack.go  the attackers; frames.go what they write without a library
//	report.go  the JSON, and the table of docs/hostile.md
package main
