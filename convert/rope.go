package convert

// Scalings of the rotary positions. GGUF has linear and YaRN as settings, and those of Llama 3 and Phi 3 as tensors.

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Tensors that are settings.
const (
	ropeFactors      = "rope_freqs.weight" // Llama 3: what each plane's frequency is divided by
	ropeFactorsLong  = "rope_factors_long.weight"
	ropeFactorsShort = "rope_factors_short.weight"
)

func isSetting(name string) bool {
	return slices.Contains([]string{ropeFactors, ropeFactorsLong, ropeFactorsShort}, name)
}

// readRope writes rope_scaling, and partial_rotary_factor where part of a head turns.
func (r *reading) readRope() {
	r.config["rope_scaling"] = nil
	rotary := r.Whole(r.key("rope.dimension_count"), r.shape.head, 1, r.shape.head)
	if rotary != r.shape.head {
		if r.family.modelType != "phi3" {
			r.fail("metadata %q: %d of %d channels turn, which is not supported", r.key("rope.dimension_count"), rotary, r.shape.head)
		}
		r.config["partial_rotary_factor"] = float(float64(rotary) / float64(r.shape.head))
	}
	kind := r.Text(r.key("rope.scaling.type"))
	number := r.Number(r.key("rope.scaling.factor"), r.Number(r.key("rope.scale_linear"), 0, false), kind == "linear" || kind == "yarn") // the older name
	factor := shortest(number)
	if kind == "" && number != 0 && number != 1 { // as llama.cpp takes it
		kind = "linear"
	}
	for _, name := range []string{"yarn_log_multiplier", "yarn_ext_factor", "yarn_attn_factor", "alpha"} {
		if key := r.key("rope.scaling." + name); r.Has(key) {
			r.fail("metadata %q is not supported", key)
		}
	}
	attention := r.Number(r.key("rope.scaling.attn_factor"), 1, false)
	if !(attention > 0) || math.IsInf(attention, 0) {
		r.fail("metadata %q: got %v, want a number above 0", r.key("rope.scaling.attn_factor"), attention)
	}
	original := r.Whole(r.key("rope.scaling.original_context_length"), 0, 0, maxWhole)
	_, llama3 := r.file.Tensor(ropeFactors)
	_, long := r.file.Tensor(ropeFactorsLong)
	switch {
	case r.Err != nil:
	case llama3 && attention == 1 && (kind == "" || kind == "none"):
		r.readLlama3(rotary, original)
	case long && (kind == "" || kind == "none" || kind == "longrope"):
		r.readLongRope(rotary, original, attention)
	case attention != 1 && kind != "yarn":
		r.fail("metadata %q: %v is not supported with the scaling %q", r.key("rope.scaling.attn_factor"), attention, kind)
	case llama3 || long:
		r.fail("metadata %q is %q, and there are factors as tensors: they contradict each other", r.key("rope.scaling.type"), kind)
	case kind == "linear":
		r.config["rope_scaling"] = map[string]any{"rope_type": "linear", "factor": factor}
	case kind == "yarn":
		scaling := map[string]any{"rope_type": "yarn", "factor": factor}
		if original > 0 {
			scaling["original_max_position_embeddings"] = original
		}
		for _, s := range yarnSettings {
			if key := r.key("rope.scaling." + s[0]); r.Has(key) {
				scaling[s[1]] = shortest(r.Number(key, 0, true))
			}
		}
		if attention != 1 {
			scaling["attention_factor"] = rounded(attention*yarnFactor(float64(factor)), 7)
		}
		r.config["rope_scaling"] = scaling
	case kind != "" && kind != "none":
		r.fail("metadata %q: got %q, supported: none, linear, yarn, longrope", r.key("rope.scaling.type"), kind)
	}
}

var yarnSettings = [][2]string{{"yarn_beta_fast", "beta_fast"}, {"yarn_beta_slow", "beta_slow"}}

// yarnFactor is what YaRN multiplies cosines and sines by of its own: transformers' attention_factor replaces it, and attn_factor of a GGUF file multiplies it.
func yarnFactor(factor float64) float64 { return 1 + 0.1*math.Log(max(factor, 1)) }

// rounded takes a number that was computed of float32 to so many digits.
func rounded(x float64, n int) float {
	v, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', n, 64), 64)
	if err != nil {
		panic("convert: a number cannot be read again")
	}
	return float(v)
}

// llama3 divides frequencies as transformers' rope_type llama3 does.
type llama3 struct {
	factor, low, high float64
	original          float64
}

// divisors gives what the frequency of each plane is divided by.
func (l llama3) divisors(theta float64, rotary int64) []float32 {
	out := make([]float32, rotary/2)
	for i := range out {
		turns := l.original * math.Pow(theta, -2*float64(i)/float64(rotary)) / (2 * math.Pi)
		keep := min(max((turns-l.low)/(l.high-l.low), 0), 1)
		out[i] = float32(1 / (keep + (1-keep)/l.factor))
	}
	return out
}

// readLlama3 finds the settings that give a file's factors. Only how steep the blend between kept and divided frequencies is can be seen,
// and where it lies: low_freq_factor is taken to be 1, as in all published models. original is 0
// where the file does not say it, as llama.cpp's do not.
func (r *reading) readLlama3(rotary, original int64) {
	want, err := r.file.ReadF32(ropeFactors)
	if err != nil {
		r.Err = err
		return
	}
	theta, factor := float64(r.config["rope_theta"].(float)), float64(slices.Max(want))
	candidates := []llama3{{factor, 1, 4, 8192}, {factor, 1, 4, float64(original)}}
	var between []int // planes in the blend: two of them give the line
	for i, f := range want {
		if f > 1 && float64(f) < factor {
			between = append(between, i)
		}
	}
	if n := len(between); n >= 2 && factor > 1 {
		point := func(i int) (turns, keep float64) {
			return math.Pow(theta, -2*float64(i)/float64(rotary)) / (2 * math.Pi), (1/float64(want[i]) - 1/factor) / (1 - 1/factor)
		}
		x0, y0 := point(between[0])
		x1, y1 := point(between[n-1])
		slope := (y1 - y0) / (x1 - x0) // original / (high - low)
		at := slope*x0 - y0            // low / (high - low)
		candidates = append(candidates, llama3{factor, 1, tidy(1 + 1/at), math.Round(slope / at)})
	}
	for _, c := range candidates {
		if near(c.divisors(theta, rotary), want) {
			r.config["rope_scaling"] = map[string]any{"rope_type": "llama3", "factor": shortest(c.factor), "low_freq_factor": float(c.low), "high_freq_factor": float(c.high),
				"original_max_position_embeddings": int64(c.original)}
			return
		}
	}
	r.fail("tensor %q holds factors that no setting of rope_type llama3 gives", ropeFactors)
}

// tidy takes a number to the nearest thousandth: that of a file's float32 have some seven digits.
func tidy(x float64) float64 { return math.Round(x*1000) / 1000 }

// near allows the last digits of float32 to differ.
func near(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(a, b float32) bool { return math.Abs(float64(a-b)) <= 1e-5*math.Abs(float64(b)) })
}

// longFactor is what longrope multiplies cosines and sines by where it is not told, for texts so many times longer than the original positions.
func longFactor(scale float64, original int64) float64 {
	if scale <= 1 || original <= 1 {
		return 1
	}
	return math.Sqrt(1 + math.Log(scale)/math.Log(float64(original)))
}

// readLongRope writes the factors of Phi 3, for short and for long texts, and what cosines and sines are multiplied by where it is not the usual number.
func (r *reading) readLongRope(rotary, original int64, attention float64) {
	scaling := map[string]any{"type": "longrope", "rope_type": "longrope"}
	for _, name := range []string{ropeFactorsLong, ropeFactorsShort} {
		x, err := r.file.ReadF32(name)
		if err != nil {
			r.Err = err
			return
		}
		if int64(len(x)) != rotary/2 {
			r.fail("tensor %q has %d factors, want %d", name, len(x), rotary/2)
		}
		list := make([]float, len(x))
		for i, v := range x {
			list[i] = shortest(float64(v))
		}
		scaling[strings.TrimSuffix(strings.TrimPrefix(name, "rope_factors_"), ".weight")+"_factor"] = list
	}
	longest, _ := r.config["max_position_embeddings"].(int64)
	if original == 0 {
		original = longest
	}
	if usual := longFactor(float64(longest)/float64(original), original); r.Has(r.key("rope.scaling.attn_factor")) && math.Abs(attention-usual) > 1e-6*usual {
		scaling["attention_factor"] = shortest(attention)
	}
	r.config["rope_scaling"] = scaling
}
