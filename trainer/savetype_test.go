package trainer

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/checkpoint"
	"criticrm/device/devicetest"
	"criticrm/kernels"
	"criticrm/model"
)

// The final model has the type that save_dtype says; what is trained, and its checkpoints, do not depend on it.
func TestSaveDType(t *testing.T) {
	dev, c := devicetest.Open(t, 2), fileConfig(t)
	bf16Base := filepath.Join(t.TempDir(), "base")
	if err := os.CopyFS(bf16Base, os.DirFS(c.Model)); err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(dev, c.Model, model.Options{DType: kernels.BF16})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SaveCausalLM(bf16Base); err != nil {
		t.Fatal(err)
	}
	m.Close()
	trained := map[bool]string{}
	for _, x := range []struct {
		bf16       bool
		base, save string
		want       string
	}{
		{false, c.Model, SaveTrained, "F32"}, {false, bf16Base, SaveTrained, "F32"}, {false, c.Model, SaveBF16, "BF16"}, {false, bf16Base, SaveBase, "BF16"}, {false, c.Model, SaveBase, "F32"},
		{true, c.Model, SaveTrained, "BF16"}, {true, c.Model, SaveBase, "F32"}, {true, c.Model, SaveF32, "F32"},
	} {
		c := c
		c.BF16, c.Model, c.SaveDType, c.OutputDir = x.bf16, x.base, x.save, filepath.Join(t.TempDir(), "run")
		var log bytes.Buffer
		r, err := Run(context.Background(), dev, c, Report{Log: &log})
		if err != nil {
			t.Fatalf("%+v: %v\n%s", x, err, log.String())
		}
		d, err := checkpoint.OpenModelDir(r.ModelDir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for _, info := range d.Tensors() {
			if info.DType != x.want {
				t.Errorf("%+v: %s is %s", x, info.Name, info.DType)
			}
		}
		config, err := os.ReadFile(filepath.Join(r.ModelDir, model.ConfigFile))
		if word := map[string]string{"F32": `"float32"`, "BF16": `"bfloat16"`}[x.want]; err != nil || !strings.Contains(string(config), `"dtype": `+word) || !strings.Contains(string(config), `"torch_dtype": `+word) {
			t.Errorf("%+v: %v\n%s", x, err, config)
		}
		if says := strings.Contains(log.String(), "rounded to bfloat16 (save_dtype)"); says != (!x.bf16 && x.want == "BF16") {
			t.Errorf("%+v:\n%s", x, log.String())
		}
		switch {
		case x.base == bf16Base: // trained from other weights
		case x.save == SaveTrained:
			trained[x.bf16] = r.ModelDir
		default:
			sameRounded(t, trained[x.bf16], r.ModelDir)
		}
	}
}

// sameRounded wants the weights of two models to be equal when both are rounded to bfloat16, and those of two types not to be equal before.
func sameRounded(t *testing.T, a, b string) {
	t.Helper()
	da, err := checkpoint.OpenModelDir(a)
	if err != nil {
		t.Fatal(err)
	}
	defer da.Close()
	db, err := checkpoint.OpenModelDir(b)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, name := range da.Names() {
		x, errX := da.ReadF32(name)
		y, errY := db.ReadF32(name)
		if errX != nil || errY != nil || len(x) != len(y) {
			t.Fatal(errX, errY)
		}
		more := false
		for i := range x {
			if kernels.BF16FromF32(x[i]) != kernels.BF16FromF32(y[i]) {
				t.Fatalf("element %d of %s is %v in %s and %v in %s", i, name, x[i], a, y[i], b)
			}
			more = more || math.Float32bits(x[i]) != math.Float32bits(y[i])
		}
		infoA, _ := da.Info(name)
		if infoB, _ := db.Info(name); len(x) > 1000 && more != (infoA.DType != infoB.DType) {
			t.Errorf("%s is %s and %s, the same numbers: %v", name, infoA.DType, infoB.DType, !more)
		}
	}
}

// A rounded model that is not the one in memory is found out; what cannot be written is refused before the first step.
func TestSaveDTypeRefuses(t *testing.T) {
	c := testConfig(t.TempDir())
	m := tiny(t, c, 1)
	dir := t.TempDir()
	if err := m.SaveCausalLMAs(dir, kernels.BF16); err != nil {
		t.Fatal(err)
	}
	r := &run{m: m}
	if err := r.rounded(dir); err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params() {
		was := make([]float32, p.W.Len())
		m.Dev.Download(was, p.W.View(p.W.Len()))
		now := append([]float32(nil), was...)
		now[len(now)-1] += 0.5
		m.Dev.Upload(p.W.View(p.W.Len()), now)
		if err := r.rounded(dir); err == nil || !strings.Contains(err.Error(), "does not hold the model: element ") || !strings.Contains(err.Error(), p.Name) {
			t.Errorf("%s: %v", p.Name, err)
		}
		m.Dev.Upload(p.W.View(p.W.Len()), was)
	}
	c.SaveDType = SaveBase
	if _, err := Train(context.Background(), m, pairs(8), c); err == nil || !strings.Contains(err.Error(), "save_dtype: base needs a run from files") {
		t.Error(err)
	}
	c.SaveDType = "float16"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), `save_dtype: got "float16", want one of trained base float32 bfloat16`) {
		t.Error(err)
	}
	c.SaveDType, c.LoraR = SaveBF16, 4
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "save_dtype: an adapter is written in float32") {
		t.Error(err)
	}
}
