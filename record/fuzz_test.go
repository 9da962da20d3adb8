package record_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"criticrm/record"
)

// FuzzJSONLLine: what is accepted is valid JSON for encoding/json too, and writing and reading it again gives the
// same bytes; errors stay short.
func FuzzJSONLLine(f *testing.F) {
	for _, s := range []string{
		good,
		`{"id":7,"prompt":[{"role":"user","content":"p"}],"chosen":"c","rejected":"r","x":[1,-2.5e3,null,true,{"a":"\ud83d\ude00"}]}`,
		`{"chosen":[{"role":"user","content":"p"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"p"},{"role":"assistant","content":"r"}]}`,
		`{"prompt":"p","chosen":"c","rejected":"r","chosen_feedback":["a"],"rejected_feedback":"b"}`,
		`{"chosen":"\n\nHuman: p\n\nAssistant: c","rejected":"\n\nHuman: p\n\nAssistant: r"}`,
		`{"prompt":"p","response":"x","correct":false,"critique":"c","critique_correct":true}`,
		`{"prompt":"p","chosen":"c","rejected":"r","chosen_critiques":[{"text":"t","score":7,"kept":true,"rank":1,"meta":[8],"reward":-0.1,"logprob":-3,"tokens":[5]}],"margin":1e-300}`,
		`{"id":"d","text":"","x":1}`, `{"input_ids":[1,2],"weights":[0,1.5]}`, `{"messages":[{"role":"user","content":"p"}],"meta":null}`,
		`{"prompt":"p","response":"x","correct":true,"benchmark":{"name":"rmbench","part":"chat","row":"1","answer":1,"answers":6,"rating":2.5}}`,
		`{"prompt":"p","chosen":"c","rejected":"c","benchmark":{"name":"shp","second":true}}`,
		`{"prompt":"\ud800"}`, `{"a":1,"a":2}`, `[]`, "{\"prompt\":\r}",
	} {
		f.Add([]byte(s))
	}
	for _, rows := range record.LayoutFiles() {
		for _, row := range rows {
			f.Add([]byte(row))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := record.ParseRecord(b)
		if err != nil {
			if len(err.Error()) > 500 {
				t.Fatalf("error of %d bytes: %v", len(err.Error()), err)
			}
			return
		}
		first, err := r.AppendJSON(nil)
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		if !json.Valid(first) {
			t.Fatalf("not JSON: %s", first)
		}
		again, err := record.ParseRecord(first)
		if err != nil {
			t.Fatalf("%v in what was written: %s", err, first)
		}
		second, err := again.AppendJSON(nil)
		if err != nil || string(first) != string(second) {
			t.Fatalf("round trip\n%s\n%s", first, second)
		}
	})
}

// FuzzLayouts: rows that are said to be of any layout end in records that can be written and read again as themselves, or in an error.
func FuzzLayouts(f *testing.F) {
	var names []string
	for _, s := range record.Schemas() {
		names = append(names, s.Name)
	}
	choices := []string{record.RankedEnds, record.RankedBest, record.RankedAll, record.RankedList}
	for i, rows := range record.LayoutFiles() {
		for which := range names {
			f.Add([]byte(strings.Join(rows, "\n")), which, i)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, which, choice int) {
		o := record.ReadOptions{MaxBytes: 1 << 16, MaxBad: 9, Layout: record.Layout{Schema: names[uint(which)%uint(len(names))], Ranked: choices[uint(choice)%uint(len(choices))]}}
		r, err := record.NewReader(bytes.NewReader(b), "f", o)
		if err != nil {
			return
		}
		for rec, err := range r.Records() {
			if err != nil {
				if len(err.Error()) > 2000 {
					t.Fatalf("error of %d bytes: %v", len(err.Error()), err)
				}
				return
			}
			line, err := rec.AppendJSON(nil)
			if err != nil {
				t.Fatalf("read but not written: %v", err)
			}
			again, err := record.ParseRecord(line)
			if err != nil {
				t.Fatalf("%v in what was written: %s", err, line)
			}
			if second, err := again.AppendJSON(nil); err != nil || string(second) != string(line) {
				t.Fatalf("round trip\n%s\n%s", line, second)
			}
		}
	})
}

// FuzzStream: a file of any bytes, compressed or not, ends in records or in an error that somebody can read.
func FuzzStream(f *testing.F) {
	var z, g bytes.Buffer
	zw, _ := zstd.NewWriter(&z)
	zw.Write([]byte(good + "\n" + good))
	zw.Close()
	gw := gzip.NewWriter(&g)
	gw.Write([]byte(good))
	gw.Close()
	for _, b := range [][]byte{[]byte(good + "\r\n\n" + good), []byte("\ufeff" + good), z.Bytes(), append(z.Bytes(), z.Bytes()...), g.Bytes(), []byte("PAR1"), []byte("[" + good + "]"), {0xff, 0xfe, '{', 0}} {
		f.Add(b)
	}
	for _, rows := range record.LayoutFiles() {
		f.Add([]byte(strings.Join(rows, "\n")))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := record.NewReader(bytes.NewReader(b), "f", record.ReadOptions{MaxBytes: 1 << 20, MaxBad: 3})
		for n := 0; err == nil; n++ {
			if n > len(b)+1<<20 {
				t.Fatal("more records than bytes")
			}
			_, err = r.Next()
		}
		if len(err.Error()) > 1000 {
			t.Fatalf("error of %d bytes", len(err.Error()))
		}
	})
}
