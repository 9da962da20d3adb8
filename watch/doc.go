// Package watch shows a training in a terminal while it lasts: where it stands, losses, λ and accuracies as curves, and the time that is left. It reads
// metrics.jsonl and nothing that would get into the training's way, so it may be started and stopped at any time, and looks at finished runs too.
package watch
