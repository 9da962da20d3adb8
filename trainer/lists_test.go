package trainer

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
	"criticrm/record"
	"criticrm/render"
)

// rankings makes n lists of responses, of which token 20 + 5·place tells the place; the critiques tell it with token 40 + place.
func rankings(n, length int, ranks ...int32) (d Slice) {
	for i := range n {
		e := render.Example{ID: fmt.Sprint(i), Prompt: []int32{1, int32(5 + i%9)}, Ranks: ranks}
		for k := range length {
			r := render.Reply{Response: render.Branch{IDs: []int32{int32(6 + (i+k)%7), int32(20 + 5*k), 2}, Read: 2}}
			for j := range 1 + (i+k)%2 {
				r.Critiques = append(r.Critiques, render.Branch{IDs: []int32{int32(7 + j), int32(40 + k), tinyEnd}, Read: 2})
			}
			e.Ranked = append(e.Ranked, r)
			if ranks == nil {
				e.Ranks = append(e.Ranks, int32(k))
			}
		}
		d = append(d, e)
	}
	return d
}

// TestPlackettLuce: with equal rewards every order of K is as likely, so the first loss is log K!; orders are learned, with critiques and without, and
// tied responses are not compared.
func TestPlackettLuce(t *testing.T) {
	n := devicetest.Fewer(8, 4)
	for _, x := range []struct {
		name, pairing string
		data          Slice
		first         float64
	}{
		{"four", "mean", rankings(n, 4), math.Log(24)},
		{"three", "zip", rankings(n, 3), math.Log(6)},
		{"a tie of the first two", "mean", rankings(n, 4, 0, 0, 1, 2), 2*math.Log(3) + math.Log(2)},
		{"pairs", "mean", pairs(n + n/2), math.Ln2},
		{"lists and pairs", "zip", slices.Concat(rankings(n-2, 3), pairs(n-2)), (math.Log(6) + math.Ln2) / 2},
	} {
		for _, method := range []string{BT, Critic} {
			c := lossConfig(method, len(x.data))
			c.LossType, c.Pairing = PlackettLuce, x.pairing
			name := method + ", " + x.name
			first, last := learn(t, name, x.data, c)
			if math.Abs(first.RewardLoss-x.first) > 1e-5 {
				t.Errorf("%s: the first loss is %v, want %v", name, first.RewardLoss, x.first)
			}
			if !(last.RewardLoss < 0.8*x.first && last.Accuracy > 0.95) {
				t.Errorf("%s: the last loss is %v, accuracy %v", name, last.RewardLoss, last.Accuracy)
			}
		}
	}
}

// TestListsOfTwo: the likelihood of an order of two is the pair's loss.
func TestListsOfTwo(t *testing.T) {
	for _, method := range []string{BT, Critic} {
		c := lossConfig(method, 8)
		c.MaxSteps, c.Pairing = 6, "mean"
		_, pair := learn(t, "pairs", pairs(8), c)
		c.LossType = PlackettLuce
		if _, list := learn(t, "lists", pairs(8), c); math.Abs(list.RewardLoss-pair.RewardLoss) > 1e-5 || list.Accuracy != pair.Accuracy {
			t.Errorf("%s: loss %v and accuracy %v, of pairs %v and %v", method, list.RewardLoss, list.Accuracy, pair.RewardLoss, pair.Accuracy)
		}
	}
}

// TestListExamples: lists keep their bytes, and are refused where pairs are wanted, or with ranks that fall.
func TestListExamples(t *testing.T) {
	p := render.Parts{Rewards: true, Lists: true}
	for _, e := range rankings(3, 4, 0, 1, 1, 2) {
		b, err := e.AppendBinary(nil)
		var back render.Example
		if err == nil {
			err = back.UnmarshalBinary(b)
		}
		again, _ := back.AppendBinary(nil)
		if err != nil || !bytes.Equal(b, again) || !slices.Equal(back.Ranks, e.Ranks) || back.Check(p, tinyVocab) != nil || back.Size(p).Pairs != 1 {
			t.Errorf("%v, %v, %+v", err, back.Check(p, tinyVocab), back.Size(p))
		}
		if err := e.Check(render.Parts{Rewards: true}, tinyVocab); err == nil || !strings.Contains(err.Error(), "want a pair") {
			t.Errorf("a list for pairs' loss: %v", err)
		}
		e.Ranks = []int32{0, 2, 1, 3}
		if err := e.Check(p, tinyVocab); err == nil || !strings.Contains(err.Error(), "not falling") {
			t.Errorf("ranks that fall: %v", err)
		}
	}
	tied := rankings(1, 2, 0, 0)[0]
	if s := tied.Size(p); s.Pairs != 0 {
		t.Errorf("two tied responses: %+v", s)
	}
}

// TestListsOfRows: rows of ranked responses become lists, as they are in data sets and as --ranked list has written them; what is no list is refused.
func TestListsOfRows(t *testing.T) {
	const nectar = `{"prompt":"a","answers":[{"answer":"b","rank":2},{"answer":"c b","rank":1},{"answer":"b b","rank":3}]}
{"prompt":"c","answers":[{"answer":"b","rank":1},{"answer":"c","rank":2}]}
`
	own := func(list string, rank int, prompt, response string) string {
		return fmt.Sprintf(`{"prompt":%q,"response":%q,"list_id":%q,"rank":%d}`+"\n", prompt, response, list, rank)
	}
	for _, x := range []struct {
		name, rows, ranked string
		want               [][]int32
		says               string // in what is told of the file, or in the error
	}{
		{"Nectar", nectar, "", [][]int32{{0, 1, 2}, {0, 1}}, "5 rows, 2 examples"},
		{"its pairs", nectar, record.RankedAll, [][]int32{nil, nil, nil, nil}, "4 rows, 4 examples"},
		{"own rows", own("x", 3, "a", "b") + own("x", 1, "a", "c") + own("x", 3, "a", "d") + own("y", 1, "a", "c") + own("y", 2, "a", "d"), "", [][]int32{{0, 1, 1}, {0, 1}}, ""},
		{"a pair between", own("x", 3, "a", "b") + own("x", 1, "a", "c") + `{"prompt":"a","chosen":"b","rejected":"c"}`, "", nil, "one file holds one format"},
		{"ties alone", own("x", 1, "a", "b") + own("x", 1, "a", "c") + own("y", 1, "a", "c") + own("y", 2, "a", "d"), "", [][]int32{{0, 1}}, "1 dropped (" + dropUnranked + ")"},
		{"a list in two places", own("x", 1, "a", "b") + own("y", 1, "a", "c") + own("x", 2, "a", "d"), "", nil, `list_id "x": its responses do not stand one behind the other`},
		{"two prompts", own("x", 1, "a", "b") + own("x", 2, "b", "d"), "", nil, "have different prompts"},
		{"no rank", `{"prompt":"a","response":"b","list_id":"x"}`, "", nil, `key "rank" is missing`},
		{"no list", `{"prompt":"a","response":"b","correct":true}`, "", nil, "wants ranked responses (columns list_id and rank"},
	} {
		c := fileConfig(t)
		write(t, c.TrainFile, x.rows)
		c.Method, c.UseMargin, c.CenterCoefficient, c.LossType, c.Layout.Ranked = BT, false, 0, PlackettLuce, x.ranked
		d, err := LoadRecords(t.Context(), c.TrainFile, opened(t, c), c, 256, Report{})
		if x.want == nil {
			if err == nil || !strings.Contains(err.Error(), x.says) {
				t.Errorf("%s: %v, want %q", x.name, err, x.says)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		var got [][]int32
		for i := range d.Len() {
			e, err := d.Example(i)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Ranks)
		}
		if s := d.String(); !slices.EqualFunc(got, x.want, slices.Equal[[]int32]) || !strings.Contains(s, x.says) || strings.Contains(s, "list_id") {
			t.Errorf("%s: %v, want %v; %s", x.name, got, x.want, s)
		}
		d.Close()
	}
}

// TestCategoriesOfLists: a held-out list counts in the category of its best response's row.
func TestCategoriesOfLists(t *testing.T) {
	c := fileConfig(t)
	var rows string
	for i, category := range []string{"x", "y", "x"} {
		for rank := range 3 {
			rows += fmt.Sprintf(`{"prompt":"a","response":"b%s","list_id":"%d","rank":%d,"category":%q}`+"\n", strings.Repeat(" c", rank), i, rank+1, category)
		}
	}
	write(t, c.TrainFile, rows)
	c.Method, c.UseMargin, c.CenterCoefficient, c.LossType = BT, false, 0, PlackettLuce
	d, err := loadHeldOut(t.Context(), c.TrainFile, opened(t, c), c, 256, Report{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var got []int
	for i := range d.Len() {
		got = append(got, d.Category(i))
	}
	if !slices.Equal(got, []int{0, 1, 0}) {
		t.Errorf("categories %v", got)
	}
	var b model.Batch
	for _, e := range rankings(2, 3) {
		e.AppendTo(&b, render.Parts{Rewards: true, Lists: true})
	}
	var right []float64
	listSums(&b, []float32{3, 2, 1, 2, 3, 1}, kernels.Mean, func(list int, accuracy, _ float64) { right = append(right, float64(list), accuracy) })
	if !slices.Equal(right, []float64{0, 1, 1, 2. / 3}) {
		t.Errorf("lists and their accuracies: %v", right)
	}
}
