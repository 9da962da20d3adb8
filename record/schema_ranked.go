package record

// Several responses in order, or with ratings.

import (
	"strconv"

	"criticrm/strictjson"
)

// Nectar is answers in order.
var Nectar = Schema{
	Name: "Nectar", For: ForPairs,
	Has:   "`prompt` and `answers`, each with `answer` and `rank`, from 1, the best; pairs by `--ranked`",
	From:  "Berkeley",
	Keys:  []string{"prompt", "answers"},
	Reads: []string{"answers"},
	is:    func(r *row) bool { return r.has("prompt") && r.kind("answers") == "array" && !r.has("response") },
	decode: func(r *row) ([]*Record, error) {
		p, err := r.prompt()
		if err != nil {
			return nil, err
		}
		objects, err := r.objects("answers", "answers")
		if err != nil {
			return nil, err
		}
		var list []answer
		for i, o := range objects {
			text, err := o.text("answer")
			if err != nil {
				return nil, inside("answers", i, err)
			}
			rank, err := o.needNumber("rank")
			if err != nil {
				return nil, inside("answers", i, err)
			}
			list = append(list, answer{text, rank, o.raw("rank")})
		}
		return r.ranked(p, list, "rank")
	},
}

// UltraFeedback is completions with ratings.
var UltraFeedback = Schema{
	Name: "UltraFeedback", For: ForPairs,
	Has: "`instruction` and `completions`, each with `response` and `fine-grained_score`, or else the ratings of `annotations`, whose mean it is; pairs by " +
		"`--ranked`. `overall_score` orders nothing: in early files a 1 is a 10",
	From:  "OpenBMB, not binarized",
	Keys:  []string{"instruction", "completions"},
	Reads: []string{"instruction", "completions"},
	is:    func(r *row) bool { return r.has("instruction") && r.kind("completions") == "array" },
	decode: func(r *row) ([]*Record, error) {
		p, err := r.promptAt("instruction")
		if err != nil {
			return nil, err
		}
		objects, err := r.objects("completions", "completions")
		if err != nil {
			return nil, err
		}
		var list []answer
		for i, o := range objects {
			text, err := o.anyText("response")
			if err != nil {
				return nil, inside("completions", i, err)
			}
			score, rated, err := o.ultraScore()
			if err != nil {
				return nil, inside("completions", i, err)
			}
			if rated && text != "" {
				list = append(list, answer{text, -score, strconv.AppendFloat(nil, score, 'g', -1, 64)})
			} else {
				r.aside(AsideUnrated, 1)
			}
		}
		return r.ranked(p, list, "score")
	},
}

// ultraScore is the mean of a completion's ratings.
func (r *row) ultraScore() (score float64, rated bool, err error) {
	if raw, ok := r.get("fine-grained_score"); ok {
		score, err = number("fine-grained_score", raw)
		return score, true, err
	}
	if r.kind("annotations") != "object" {
		return 0, false, nil
	}
	raw, _ := r.get("annotations")
	annotations := r.nested(raw)
	n := 0
	for _, m := range annotations.members {
		if strictjson.KindOf(m.Raw) != "object" {
			continue
		}
		if v, ok := looseNumber(r.nested(m.Raw).raw("Rating")); ok {
			score += v
			n++
		}
	}
	if n == 0 {
		return 0, false, nil
	}
	return score / float64(n), true, nil
}

// looseNumber is a number that may be written as a text; false: it is none, as in "N/A".
func looseNumber(raw []byte) (float64, bool) {
	if strictjson.KindOf(raw) == "string" {
		raw = []byte(str(raw))
	}
	v, err := number("", raw)
	return v, err == nil
}
