package model

// What differs from layer to layer, as config.json says it.

import "fmt"

// Layer is what differs between the layers of a model.
type Layer struct {
	Window  int  // a query sees so many positions of its branch, its own included; 0: all
	Sliding bool // layer_types has "sliding_attention" for it, as if there were a window: its rope is LocalRope, if there is one
	NoRope  bool // queries and keys are not turned
}

// readLayers reads which layers have a window and which are turned.
func (c *Config) readLayers(f *fields, fam *family) {
	c.Layers = make([]Layer, c.NumHiddenLayers)
	window := fam.window
	if f.given("sliding_window") {
		window = f.whole("sliding_window", 0, 1, 1<<30)
	}
	if fam.slides == whereTurned && !f.flag("use_sliding_window") {
		window = 0
	}
	if fam.unturned != nil {
		fam.unturned(c, f)
	}
	usual := func(i int) bool { return window > 0 && (fam.sliding == nil || fam.sliding(c, f, i)) }
	switch fam.slides {
	case never:
		if f.has("sliding_window") && window < c.MaxPositionEmbeddings {
			f.fail("sliding_window", "got %d, want null or at least max_position_embeddings (%d): transformers has no windows for model_type %q", window, c.MaxPositionEmbeddings, c.ModelType)
		}
		window = 0
	case byLayer: // the pattern holds without a window, too: then it is a mistake, which is told below
		usual = func(i int) bool {
			return (window > 0 || fam.sliding != nil) && (fam.sliding == nil || fam.sliding(c, f, i))
		}
	}
	types, given := f.get("layer_types").([]any)
	if f.has("layer_types") && !given {
		f.fail("layer_types", "got %s, want an array", jsonKind(f.m["layer_types"]))
	}
	if given && len(types) != len(c.Layers) {
		f.fail("layer_types", "%d of them for %d layers", len(types), len(c.Layers))
	}
	if f.err != nil {
		return
	}
	for i := range c.Layers {
		sliding := usual(i)
		if given {
			named := types[i] == "sliding_attention"
			switch {
			case !named && types[i] != "full_attention":
				f.fail("layer_types", "got %v, only \"full_attention\" and \"sliding_attention\" are supported", types[i])
			case named && window == 0:
				f.fail("layer_types", "got %v for layer %d, but there is no window (sliding_window, use_sliding_window)", types[i], i)
			case named != sliding && (fam.slides == never || fam.slides == everywhere):
				f.fail("layer_types", "got %v for layer %d: transformers does not read it for model_type %q, whose windows are those of sliding_window", types[i], i, c.ModelType)
			}
			sliding = named
		}
		if sliding && window == 0 {
			f.fail("sliding_window", "got null, but layer %d has a window", i)
		}
		c.Layers[i].Sliding = sliding
		if sliding && window < c.MaxPositionEmbeddings {
			c.Layers[i].Window = window
		}
	}
}

// describeLayers spells Layers.
func (c *Config) describeLayers(file map[string]any, fam *family) {
	window, types, turned := 0, []string{}, []int{}
	for _, l := range c.layerList() {
		kind, rope := "full_attention", 1
		if l.Sliding {
			kind, window = "sliding_attention", max(window, l.Window)
			if l.Window == 0 {
				window = max(window, c.MaxPositionEmbeddings)
			}
		}
		if l.NoRope {
			rope = 0
		}
		types, turned = append(types, kind), append(turned, rope)
	}
	if fam.slides != never {
		file["sliding_window"] = nil
		if window > 0 {
			file["sliding_window"] = window
		}
	}
	if fam.slides == byLayer || fam.slides == whereTurned {
		file["layer_types"] = types
	}
	if fam.slides == whereTurned {
		file["use_sliding_window"] = window > 0
	}
	if fam.unturned != nil {
		file["no_rope_layers"] = turned
	}
}

// layerList gives what each layer is.
func (c *Config) layerList() []Layer {
	if c.Layers == nil {
		return make([]Layer, c.NumHiddenLayers)
	}
	return c.Layers
}

// checkLayers says whether Layers, by whatever way they came, are such as the family has.
func (c *Config) checkLayers(fam *family) error {
	if c.Layers != nil && len(c.Layers) != c.NumHiddenLayers {
		return fmt.Errorf("layers: %d of them, num_hidden_layers is %d", len(c.Layers), c.NumHiddenLayers)
	}
	for i, l := range c.Layers {
		switch {
		case l.Window < 0 || l.Window > 0 && !l.Sliding:
			return fmt.Errorf("layers: layer %d: a window of %d with sliding %v", i, l.Window, l.Sliding)
		case l.Sliding && fam.slides == never, l.NoRope && fam.unturned == nil:
			return fmt.Errorf("layers: layer %d: %+v is not what model_type %q has", i, l, c.ModelType)
		case fam.slides == everywhere && l != c.Layers[0]:
			return fmt.Errorf("layers: layer %d: %+v, and the first has %+v: with model_type %q they are equal", i, l, c.Layers[0], c.ModelType)
		}
	}
	return nil
}
