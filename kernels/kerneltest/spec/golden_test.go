package spec

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// TestRewardLossGolden holds scores and ranked lists against PyTorch's formulas; bench/peers/loss_golden.py makes the file.
func TestRewardLossGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/reward_loss.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name                      string
		Rewards, Scores, Gradient [][]float64
		Loss                      float64
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) < 4 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		for _, pairing := range []Pairing{Cross, Mean, Zip} {
			if c.Scores == nil && pairing == Cross {
				continue
			}
			o := &RewardLoss[float64]{W: []float64{1}, H: 1, P: len(c.Rewards), Pairing: pairing, Side: []int32{0}, Loss: make([]float64, 6), DW: []float64{0}}
			o.LossScale, o.GradScale = 1/float64(o.P), 1/float64(o.P)
			var want []float64
			if c.Scores == nil {
				o.List = []int32{0}
			}
			for p, rewards := range c.Rewards {
				end := o.S + len(rewards)
				for i, r := range rewards {
					o.S++
					o.X, o.Side, want = append(o.X, r), append(o.Side, int32(o.S)), append(want, c.Gradient[p][i])
					if c.Scores == nil {
						o.Worse = append(o.Worse, int32(o.S))
					} else {
						o.Target = append(o.Target, c.Scores[p][i])
					}
				}
				if c.Scores == nil {
					o.List = append(o.List, int32(end))
				}
			}
			o.L = o.S
			o.Reward, o.DReward, o.DX = make([]float64, o.L), make([]float64, o.L), make([]float64, o.L)
			o.Run()
			if e := math.Abs(o.Loss[2] - c.Loss); !(e <= 1e-12*(1+c.Loss)) {
				t.Errorf("%s, pairing %d: loss %v, PyTorch's %v", c.Name, pairing, o.Loss[2], c.Loss)
			}
			for i, d := range o.DReward {
				if e := math.Abs(d - want[i]); !(e <= 1e-12) {
					t.Errorf("%s, pairing %d: gradient %d is %v, PyTorch's %v", c.Name, pairing, i, d, want[i])
				}
			}
		}
	}
}
