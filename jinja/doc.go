// Package jinja renders chat templates exactly as transformers does with Jinja2: the sandboxed, immutable environment with
// trim_blocks, lstrip_blocks, break and continue, {% generation %}, and the filter tojson of transformers.
//
//	t, err := jinja.Parse("{% for m in messages %}{{ m.content | trim }}{% endfor %}")
//	out, err := t.Render(jinja.Vars{"messages": jinja.NewList(...)}, jinja.Options{})
//
// A template comes with a model and is not trusted. It sees the values it is given and nothing else: no files, no Go methods, no clock.
// Every step is counted, and every byte and item that is made is paid for before it is made, so a rendering is bounded in time and in
// memory by construction. Whatever is not the same as in Jinja2 is an error that names the construct and the line; nothing is guessed.
//
// Text carries its origin. What comes from a message stays known as that message's through every operation, so whoever encodes the
// output knows which bytes the template wrote and which a message did, and which messages were never written.
package jinja
