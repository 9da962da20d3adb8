package convert

// The families of models that GGUF files hold and that are made of them: names of tensors, shapes, settings. What their maths is
// stands in package model; a family that it cannot open is converted all the same, and opening says so.

// size names a dimension of a tensor.
type size byte

const (
	none        size = iota // a vector has no columns
	vocabulary              // V
	width                   // H, the stream
	queries                 // A · D, heads times head size
	keys                    // G · D
	headSize                // D
	inner                   // F, of the MLP
	fusedQKV                // A · D + 2 · G · D
	fusedGateUp             // 2 · F
)

// change is what is done to the values of a tensor on the way from GGUF; export undoes it.
type change byte

const (
	same         change = iota
	interleaved         // rows of each head alternate between its halves: ggml turns neighbours, transformers turns halves
	plusOne             // GGUF holds 1 + w, transformers w
	maybeMissing        // may be left out: an LM head that is the embedding
)

// part is a tensor, by its names without "blk.N." or "model.layers.N." and without ".weight".
type part struct {
	gguf, hf   string
	rows, cols size
	change     change
}

// family is a kind of models.
type family struct {
	arch      string // general.architecture of GGUF
	modelType string // model_type of config.json
	class     string // …ForCausalLM
	layer     []part
	biases    []string // tensors of a layer (GGUF's names) that have biases, or may have them
	needBias  bool     // they must have them
	settings  []setting
	norm      change           // of all norms
	read      func(r *reading) // settings beside the table, into config.json
	write     func(w *writing) // and back

}

var families = []*family{
	{arch: "llama", modelType: "llama", class: "Llama", layer: llamaLayer(interleaved), read: readLlama, write: writeLlama},
	{arch: "llama", modelType: "mistral", class: "Mistral", layer: llamaLayer(interleaved), read: readLlama, write: writeLlama},
	{arch: "smollm3", modelType: "smollm3", class: "SmolLM3", layer: llamaLayer(interleaved), read: readSmolLM3, write: writeSmolLM3},
	{arch: "granite", modelType: "granite", class: "Granite", layer: llamaLayer(interleaved), settings: graniteSettings, read: readLlama, write: writeLlama},
	{arch: "qwen2", modelType: "qwen2", class: "Qwen2", layer: llamaLayer(same), biases: []string{"attn_q", "attn_k", "attn_v"}, needBias: true, read: readQwen, write: writeQwen},
	{arch: "qwen3", modelType: "qwen3", class: "Qwen3", layer: append(llamaLayer(same), headNorms...), read: readQwen, write: writeQwen},
	{arch: "gemma2", modelType: "gemma2", class: "Gemma2", layer: gemmaLayer, norm: plusOne, settings: gemma2Settings, read: readGemma2, write: writeGemma2},
	{arch: "gemma3", modelType: "gemma3_text", class: "Gemma3", layer: append(gemmaLayer[:len(gemmaLayer):len(gemmaLayer)], headNorms...), norm: plusOne,
		settings: gemma3Settings, read: readGemma3, write: writeGemma3},
	{arch: "phi3", modelType: "phi3", class: "Phi3", layer: phi3Layer, read: readPhi3, write: writePhi3},
	{arch: "olmo2", modelType: "olmo2", class: "Olmo2", layer: olmo2Layer, read: readOlmo2, write: writeOlmo2},
}

// top are the tensors that do not belong to a layer.
var top = []part{
	{"token_embd", "model.embed_tokens", vocabulary, width, same},
	{"output_norm", "model.norm", width, none, same},
	{"output", "lm_head", vocabulary, width, maybeMissing},
}

func llamaLayer(rope change) []part {
	return []part{
		{"attn_norm", "input_layernorm", width, none, same},
		{"attn_q", "self_attn.q_proj", queries, width, rope},
		{"attn_k", "self_attn.k_proj", keys, width, rope},
		{"attn_v", "self_attn.v_proj", keys, width, same},
		{"attn_output", "self_attn.o_proj", width, queries, same},
		{"ffn_norm", "post_attention_layernorm", width, none, same},
		{"ffn_gate", "mlp.gate_proj", inner, width, same},
		{"ffn_up", "mlp.up_proj", inner, width, same},
		{"ffn_down", "mlp.down_proj", width, inner, same},
	}
}

// headNorms are norms of queries and keys, head by head.
var headNorms = []part{
	{"attn_q_norm", "self_attn.q_norm", headSize, none, same},
	{"attn_k_norm", "self_attn.k_norm", headSize, none, same},
}

// gemmaLayer has norms before and behind both halves of a layer.
var gemmaLayer = renamed(append(llamaLayer(same),
	part{"post_attention_norm", "post_attention_layernorm", width, none, same},
	part{"post_ffw_norm", "post_feedforward_layernorm", width, none, same}),
	"ffn_norm", "pre_feedforward_layernorm")

// phi3Layer has its projections in one.
var phi3Layer = []part{
	{"attn_norm", "input_layernorm", width, none, same},
	{"attn_qkv", "self_attn.qkv_proj", fusedQKV, width, same},
	{"attn_output", "self_attn.o_proj", width, queries, same},
	{"ffn_norm", "post_attention_layernorm", width, none, same},
	{"ffn_up", "mlp.gate_up_proj", fusedGateUp, width, same},
	{"ffn_down", "mlp.down_proj", width, inner, same},
}

// olmo2Layer has norms behind both halves only, and norms over all queries and all keys.
var olmo2Layer = []part{
	{"attn_q", "self_attn.q_proj", queries, width, same},
	{"attn_k", "self_attn.k_proj", keys, width, same},
	{"attn_v", "self_attn.v_proj", keys, width, same},
	{"attn_output", "self_attn.o_proj", width, queries, same},
	{"attn_q_norm", "self_attn.q_norm", queries, none, same},
	{"attn_k_norm", "self_attn.k_norm", keys, none, same},
	{"post_attention_norm", "post_attention_layernorm", width, none, same},
	{"ffn_gate", "mlp.gate_proj", inner, width, same},
	{"ffn_up", "mlp.up_proj", inner, width, same},
	{"ffn_down", "mlp.down_proj", width, inner, same},
	{"post_ffw_norm", "post_feedforward_layernorm", width, none, same},
}

// renamed gives one of the parts another name in transformers.
func renamed(parts []part, gguf, hf string) []part {
	for i := range parts {
		if parts[i].gguf == gguf {
			parts[i].hf = hf
		}
	}
	return parts
}
