package record_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"criticrm/internal/golden"
	"criticrm/record"
	"criticrm/record/recordtest"
)

// TestSharedData reads real files where they are there.
func TestSharedData(t *testing.T) {
	root := golden.Shared(t, "data")
	files, _ := filepath.Glob(filepath.Join(root, "data", "*.jsonl"))
	demo, _ := filepath.Glob(filepath.Join(root, "demo", "*.jsonl"))
	files = append(files, demo...)
	if len(files) == 0 {
		t.Fatal("the folder data has no .jsonl files")
	}
	for _, f := range files {
		records, err := record.ReadFile(f, record.ReadOptions{})
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		check := record.NewChecker()
		for _, r := range records {
			if err := check.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := check.Finish(); err != nil {
			t.Fatal(err)
		}
		again, err := record.ParseRecord([]byte(recordtest.JSON(t, records[0])))
		if err != nil || again.Text(records[0].Sides()[0]) != records[0].Text(records[0].Sides()[0]) {
			t.Errorf("%s: round trip: %v", f, err)
		}
		t.Logf("%s: %d records, issues %v", filepath.Base(f), len(records), check.Counts)
	}
}

// TestSharedFormats reads a file of each public format, where they are there: how many records it gives, of which layout, or why none.
func TestSharedFormats(t *testing.T) {
	root := filepath.Join(golden.Shared(t, filepath.Join("cases", "formats")), "cases", "formats")
	pairs, conversations := record.Pairs.Name, record.Conversations.Name
	benchmark := map[string]bool{"judgebench": true, "llmbar": true, "ppe_human": true, "rewardbench1": true, "rewardbench2": true, "rmb_pair": true, "rmbench": true}
	want := map[string]string{
		"alpacafarm": record.AlpacaFarm.Name, "anthropic_hh": record.Dialogues.Name, "axolotl_bt": record.Axolotl.Name, "chatbot_arena_33k": record.Arena.Name,
		"cloud": record.CLoud.Name, "helpsteer2_preference": record.HelpSteerPreference.Name, "helpsteer3": record.HelpSteer3.Name, "kto_unpaired": record.Responses.Name,
		"lf_alpaca_ranking": record.AlpacaRanking.Name, "lf_sharegpt_ranking": record.ShareGPTRanking.Name, "nemo_rl_ranked": record.NeMoRanked.Name,
		"openrlhf_mix2": conversations, "pku_saferlhf": record.PKUSafeRLHF.Name, "shp": record.SHP.Name, "skywork_80k": conversations, "trl_conv_explicit": conversations,
		"trl_conv_implicit": conversations, "trl_margin": pairs, "trl_std_explicit": pairs, "trl_std_implicit": record.Texts.Name, "tulu3_mix": conversations,
		"ultrafeedback_binarized_h4": conversations,
		"anthropic_hh_empty_side":    `"rejected": turn 1 is empty`,
		"openrlhf_custom_keys":       `no known layout: the row has "question", "response_good", "response_bad"`,
		"prm_stepwise":               "stepwise format, which is not read",
		"trl_conv_toolcalls":         `"chosen[1]": key "tool_calls" is not supported`,
		"trl_conv_tools":             `"tools" is part of what the model is asked`,
		"trl_pretokenized":           "tokenized pairs format, which is not read",
	}
	files, err := filepath.Glob(filepath.Join(root, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", root, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		if benchmark[name] {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		in, err := record.Open(file, record.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n, got := 0, ""
		for rec, err := range in.Records() {
			if err != nil {
				got = err.Error()
				break
			}
			if rec.Chosen == rec.Rejected && rec.Paired() {
				t.Errorf("%s: a side is missing", name)
			}
			n++
		}
		in.Close()
		if got == "" {
			got = in.Schema.Name
			for _, aside := range in.Aside {
				n += aside
			}
			if rows := strings.Count(string(text), "\n"); n != rows {
				t.Errorf("%s: %d records of %d rows", name, n, rows)
			}
		}
		if want[name] == "" || !strings.Contains(got, want[name]) || in.Schema != nil && in.Schema.Name == got && got != want[name] {
			t.Errorf("%s: got %q, want %q", name, got, want[name])
		}
	}
}
