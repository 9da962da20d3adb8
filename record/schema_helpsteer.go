package record

// NVIDIA's HelpSteer: ratings of single responses, whose rows stand in pairs, and preferences.

import (
	"bytes"
	"slices"
)

// ratings are the attributes that HelpSteer's people rated.
var ratings = []string{"helpfulness", "correctness", "coherence", "complexity", "verbosity"}

// HelpSteer is rows of one response with ratings, of which two to one prompt stand one behind the other.
var HelpSteer = Schema{
	Name: "HelpSteer2 ratings", For: ForPairs,
	Has: "`prompt`, `response` and the ratings `helpfulness`, `correctness`, `coherence`, `complexity` and `verbosity`, without `id`; two rows one " +
		"behind the other with the same prompt are a pair, of which the more helpful is chosen",
	From:  "NVIDIA; HelpSteer's too",
	Keys:  append([]string{"prompt", "response"}, ratings...),
	Reads: ratings,
	is: func(r *row) bool {
		return !r.has("id") && r.lacks(append([]string{"prompt", "response"}, ratings...)) == nil
	},
	decode: one(func(rec *Record, r *row) (err error) {
		if rec.Prompt, err = r.prompt(); err != nil {
			return err
		}
		text, err := r.text("response")
		if err != nil {
			return err
		}
		rec.Response = &text
		for _, key := range ratings {
			if _, err := r.needNumber(key); err != nil {
				return err
			}
			r.kept[key] = true // for join
		}
		return nil
	}),
	join: func(first, second *Record) (*Record, error) {
		if first.Prompt.Key() != second.Prompt.Key() {
			return nil, AsideAlone
		}
		a, b := first.rating("helpfulness"), second.rating("helpfulness")
		switch {
		case a == b:
			return nil, AsideTie
		case *first.Response == *second.Response:
			return nil, AsideEqual
		}
		rec := *first
		rec.Chosen, rec.Rejected, rec.Response, rec.order = *first.Response, *second.Response, nil, nil
		if b > a {
			rec.Chosen, rec.Rejected = rec.Rejected, rec.Chosen
			first, second = second, first
		}
		rec.keepBoth(first, second, ratings)
		return &rec, nil
	},
}

// rating is a number that the row had.
func (r *Record) rating(key string) float64 {
	raw, _ := r.Extra(key)
	v, err := number(key, raw)
	if err != nil {
		panic("record: a rating was not checked before")
	}
	return v
}

// keepBoth takes over what two rows have beside their texts: what is the same in both, and the named keys as an object for each side.
func (r *Record) keepBoth(chosen, rejected *Record, keys []string) {
	for _, m := range chosen.order {
		if other, ok := rejected.Extra(m.key); m.raw != nil && ok && bytes.Equal(other, m.raw) && !slices.Contains(keys, m.key) {
			r.order = append(r.order, m)
		}
	}
	if keys == nil {
		return
	}
	for _, side := range [...]struct {
		name string
		of   *Record
	}{{"chosen_ratings", chosen}, {"rejected_ratings", rejected}} {
		object := []byte{'{'}
		for i, key := range keys {
			raw, _ := side.of.Extra(key)
			if i > 0 {
				object = append(object, ',')
			}
			object = append(append(append(object, '"'), key...), '"', ':')
			object = append(object, raw...)
		}
		r.SetExtra(side.name, append(object, '}'))
	}
}

// HelpSteerPreference is two responses with the strength of the preference.
var HelpSteerPreference = Schema{
	Name: "HelpSteer2 preference", For: ForPairs,
	Has:   "`prompt`, `response_1`, `response_2` and `preference_strength` from -3 to 3: below 0 the first is better, above the second, 0 is a tie",
	From:  "NVIDIA",
	Keys:  []string{"prompt", "response_1", "response_2", "preference_strength"},
	Reads: []string{"response_1", "response_2", "preference_strength"},
	decode: func(r *row) ([]*Record, error) {
		v, err := r.oneOf("preference_strength", -3, -2, -1, 0, 1, 2, 3)
		if err != nil {
			return nil, err
		}
		return r.twoTexts("prompt", "response_1", "response_2", v)
	},
}

// HelpSteer3 is likewise, behind a conversation.
var HelpSteer3 = Schema{
	Name: "HelpSteer3", For: ForPairs,
	Has:   "`context` (messages), `response1`, `response2` and `overall_preference` from -3 to 3, as in HelpSteer2",
	From:  "NVIDIA",
	Keys:  []string{"context", "response1", "response2", "overall_preference"},
	Reads: []string{"context", "response1", "response2", "overall_preference"},
	decode: func(r *row) ([]*Record, error) {
		v, err := r.oneOf("overall_preference", -3, -2, -1, 0, 1, 2, 3)
		if err != nil {
			return nil, err
		}
		return r.twoTexts("context", "response1", "response2", v)
	},
}
