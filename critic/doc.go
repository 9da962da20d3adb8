// Package critic is the Critic-RM method (Yu et al., NAACL 2025, arXiv 2411.16646) over preference records:
//
//	pairs ─ Generate ─▶ N critiques with scores per response
//	      ─ Filter ───▶ those that agree with the human preference
//	      ─ Refine ───▶ the best K by a meta-judge or by margin, or one merged summary
//	      ─ training (another package) ─▶ one model with a language head and a reward head
//	      ─ Score ────▶ mean reward over m critiques, with the critiques
//	      ─ Evaluate ─▶ preference accuracy with intervals, against a judge and a length baseline
//
// A record is one row of a JSONL file. Stages only add fields, so every file can be read and every stage rerun.
// Open and Reader read rows strictly (file, line and field in every error) and detect the common preference
// formats; Writer writes them. Stage runs one step from file to file and resumes after an interruption with the
// same bytes.
//
// The package knows no model: it asks a Generator for text and rewards, and a Rewarder for rewards of given
// text. All randomness is keyed by (seed, record id, side, sample); nothing depends on order, chunks or threads.
//
// What the paper fixes and what is an option here: filtering by agreement with the label, refinement by a
// meta-judge and rewards averaged over sampled critiques are the paper's; N, K, the exact filter rule and the
// sampling settings are options whose defaults are this project's choice.
package critic
