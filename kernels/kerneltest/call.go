package kerneltest

import (
	"fmt"

	"criticrm/gguf"
	"criticrm/kernels"
	"criticrm/kernels/kerneltest/spec"
)

// Call runs an op of the specification on a device. t gives the tensor of the argument of that name, the zero Tensor where
// the argument is left out.
func Call(d *kernels.Device, op spec.Op, t func(name string) kernels.Tensor) {
	switch o := op.(type) {
	case *spec.Embed[float64]:
		d.Embed(t("Out"), t("Table"), t("ID"))
	case *spec.EmbedBackward[float64]:
		d.EmbedBackward(t("DTable"), t("DOut"), t("Row"), t("Ptr"), t("Src"))
	case *spec.Gather[float64]:
		d.Gather(t("Out"), t("X"), t("Row"))
	case *spec.GatherBackward[float64]:
		d.GatherBackward(t("DX"), t("DOut"), t("Ptr"), t("Src"))
	case *spec.RMSNorm[float64]:
		d.RMSNorm(t("Out"), t("Sum"), t("RStd"), t("X"), t("Res"), t("W"), float32(o.Eps), float32(o.Shift))
	case *spec.RMSNormBackward[float64]:
		d.RMSNormBackward(t("DX"), t("DW"), t("Out"), t("DOut"), t("X"), t("W"), t("RStd"), float32(o.Shift))
	case *spec.SliceNorm[float64]:
		d.SliceNorm(t("Y"), t("X"), t("RStd"), t("W"), o.Groups, o.Offset, float32(o.Eps), float32(o.Shift))
	case *spec.SliceNormBackward[float64]:
		d.SliceNormBackward(t("DX"), t("DW"), t("X"), t("W"), t("RStd"), o.Offset, float32(o.Shift))
	case *spec.RoPE[float64]:
		d.RoPE(t("QKV"), t("Table"), t("Pos"), o.G)
	case *spec.RoPEBackward[float64]:
		d.RoPEBackward(t("QKV"), t("Table"), t("Pos"), o.G)
	case *spec.Matmul[float64]:
		add := t("Add")
		if o.InPlace {
			d.Copy(t("Y"), add)
			add = t("Y")
		}
		d.Matmul(t("Y"), t("X"), t("W"), add)
	case *spec.MatmulDX[float64]:
		d.MatmulDX(t("DX"), t("DY"), t("W"), o.Accumulate)
	case *spec.MatmulDW[float64]:
		d.MatmulDW(t("DW"), t("DY"), t("X"))
	case *spec.AddBias[float64]:
		d.AddBias(t("Y"), t("B"))
	case *spec.AddBiasBackward[float64]:
		d.AddBiasBackward(t("DB"), t("DY"))
	case *spec.MatmulNF4[float64]:
		d.MatmulNF4(t("Y"), t("X"), nf4(t, o.Offset), o.At)
	case *spec.MatmulNF4DX[float64]:
		d.MatmulNF4DX(t("DX"), t("DY"), nf4(t, o.Offset), o.At, o.Accumulate)
	case *spec.MatmulBlocks[float64]:
		d.MatmulBlocks(t("Y"), t("X"), inBlocks(t, o.Type), o.At)
	case *spec.MatmulBlocksDX[float64]:
		d.MatmulBlocksDX(t("DX"), t("DY"), inBlocks(t, o.Type), o.At, o.Accumulate)
	case *spec.LoRA[float64]:
		d.LoRA(t("Y"), t("T"), t("B"), o.At, o.From)
	case *spec.LoRABackward[float64]:
		d.LoRABackward(t("DT"), t("DB"), t("DY"), t("T"), t("B"), o.At, o.From)
	case *spec.SwiGLU[float64]:
		d.SwiGLU(t("H"), t("GU"))
	case *spec.SwiGLUBackward[float64]:
		d.SwiGLUBackward(t("DGU"), t("H"), t("DH"), t("GU"))
	case *spec.GeGLU[float64]:
		d.GeGLU(t("H"), t("GU"))
	case *spec.GeGLUBackward[float64]:
		d.GeGLUBackward(t("DGU"), t("H"), t("DH"), t("GU"))
	case *spec.Scale[float64]:
		d.Scale(t("X"), float32(o.S))
	case *spec.Attention[float64]:
		d.Attention(t("Out"), t("LSE"), t("QKV"), sight(t), scores(o.Window, o.Scale, o.Cap))
	case *spec.AttentionBackward[float64]:
		d.AttentionBackward(t("DQKV"), t("Delta"), t("DOut"), t("Out"), t("LSE"), t("QKV"), sight(t), scores(o.Window, o.Scale, o.Cap))
	case *spec.KVStore[float64]:
		d.KVStore(t("KV"), t("QKV"), t("Slot"))
	case *spec.KVLoad[float64]:
		d.KVLoad(t("QKV"), t("KV"), t("Slot"), t("Row"))
	case *spec.AttentionDecode[float64]:
		d.AttentionDecode(t("Out"), t("QKV"), t("KV"), kernels.DecodeContext{Group: t("Group"), SegPtr: t("SegPtr"),
			SegStart: t("SegStart"), SegLen: t("SegLen"), OwnStart: t("OwnStart"), OwnLen: t("OwnLen")}, scores(o.Window, o.Scale, o.Cap))
	case *spec.CritiqueLoss[float64]:
		d.CritiqueLoss(kernels.CritiqueLoss{Loss: t("Loss"), LogProb: t("LogProb"), DX: t("DX"), DW: t("DW"), X: t("X"), W: t("W"),
			Target: t("Target"), Weight: t("Weight"), LossScale: float32(o.LossScale), GradScale: float32(o.GradScale),
			LogitScale: float32(o.LogitScale), LogitCap: float32(o.LogitCap), Scratch: t("Scratch")})
	case *spec.SoftCap[float64]:
		d.SoftCap(t("X"), float32(o.Scale), float32(o.Cap))
	case *spec.RewardHead[float64]:
		d.RewardHead(t("Reward"), t("X"), t("Row"), t("W"))
	default:
		callStep(d, op, t)
	}
}

func sight(t func(name string) kernels.Tensor) kernels.Sight {
	return kernels.Sight{End: t("End"), Pos: t("Pos"), Tiles: t("Tiles")}
}

func scores(window int, scale, limit float64) kernels.Scores {
	return kernels.Scores{Window: window, Scale: float32(scale), Cap: float32(limit)}
}

// callStep runs the ops that come once in a step, after the model.
func callStep(d *kernels.Device, op spec.Op, t func(name string) kernels.Tensor) {
	switch o := op.(type) {
	case *spec.RewardLoss[float64]:
		d.RewardLoss(kernels.RewardLoss{Loss: t("Loss"), Reward: t("Reward"), DReward: t("DReward"), DX: t("DX"), DW: t("DW"), X: t("X"), W: t("W"),
			Side: t("Side"), List: t("List"), Worse: t("Worse"), Target: t("Target"), Margin: t("Margin"), Weight: t("Weight"), Critique: t("Critique"), Lambda: float32(o.Lambda), Center: float32(o.Center), Smoothing: float32(o.Smooth), Alone: o.Alone,
			LossScale: float32(o.LossScale), GradScale: float32(o.GradScale), Pairing: kernels.Pairing(o.Pairing)})
	case *spec.GradNorm[float64]:
		d.GradNorm(t("Norm"), t("G"))
	case *spec.AdamW[float64]:
		d.AdamW(kernels.AdamW{W: t("W"), Master: t("Master"), M: t("M"), V: t("V"), G: t("G"), Norm: t("Norm"), LR: float32(o.LR),
			Beta1: float32(o.Beta1), Beta2: float32(o.Beta2), Eps: float32(o.Eps), WeightDecay: float32(o.WeightDecay),
			Bias1: float32(o.Bias1), Bias2: float32(o.Bias2), MaxNorm: float32(o.MaxNorm), SkipNorm: float32(o.SkipNorm), Seed: o.Seed, Step: o.Step, First: o.First})
	case *spec.AdamW8bit[float64]:
		d.AdamW8bit(kernels.AdamW{W: t("W"), Master: t("Master"), M: t("M"), V: t("V"), G: t("G"), Norm: t("Norm"), LR: float32(o.LR),
			Beta1: float32(o.Beta1), Beta2: float32(o.Beta2), Eps: float32(o.Eps), WeightDecay: float32(o.WeightDecay),
			Bias1: float32(o.Bias1), Bias2: float32(o.Bias2), MaxNorm: float32(o.MaxNorm), SkipNorm: float32(o.SkipNorm), Seed: o.Seed, Step: o.Step, First: o.First}, t("Scale"))
	case *spec.Sample[float64]:
		d.Sample(kernels.Sample{ID: t("ID"), LogProb: t("LogProb"), Logits: t("Logits"), Key: t("Key"), Step: t("Step"), Seed: o.Seed,
			Temperature: float32(o.Temperature), TopP: float32(o.TopP), TopK: o.TopK})
	case *spec.LogProbs[float64]:
		d.LogProbs(t("LogProb"), t("Logits"), t("Ptr"), t("ID"))
	default:
		panic(fmt.Sprintf("kerneltest: no call for %T", op))
	}
}

func nf4(t func(name string) kernels.Tensor, offset float64) kernels.NF4 {
	return kernels.NF4{Code: t("Code"), Absmax: t("Absmax"), Scale: t("Scale"), Map: t("Map"), Offset: float32(offset)}
}

func inBlocks(t func(name string) kernels.Tensor, kind gguf.Type) kernels.Blocks {
	b, ok := kernels.BlockTypeOf(kind.String())
	if !ok {
		panic(fmt.Sprintf("kerneltest: no blocks of %v", kind))
	}
	return kernels.Blocks{Type: b, Code: t("Code")}
}
