package manual

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestPages(t *testing.T) {
	root := &cobra.Command{Use: "p", Short: "Do it", Run: func(*cobra.Command, []string) {}}
	sub := &cobra.Command{
		Use: "make FILE", Short: "Make one-two", Run: func(*cobra.Command, []string) {},
		Long:    "First line\n.second is no request\n\n  p make \\n   'x'\nLast.",
		Example: "  p make a\n  p make b",
	}
	sub.Flags().StringP("out", "o", "here", "where it goes\n.or not")
	sub.Flags().Bool("secret", false, "not shown")
	_ = sub.Flags().MarkHidden("secret")
	hidden := &cobra.Command{Use: "inner", Hidden: true, Run: func(*cobra.Command, []string) {}}
	root.AddCommand(sub, hidden)

	pages := Pages(root, "1.2.3-dev")
	if got, want := slices.Sorted(maps.Keys(pages)), []string{"p-completion.1", "p-make.1", "p.1"}; !slices.Equal(got, want) {
		t.Fatalf("pages are %v, want %v", got, want)
	}
	for page, parts := range map[string][]string{
		"p.1": {`.TH "P" 1 "" "p \&1.2.3\-dev"`, ".SH COMMANDS\n", ".BR \\&p\\-make (1)\n\\&Make one\\-two\n"},
		"p-make.1": {
			"\\&p\\-make \\- \\&Make one\\-two\n", ".B \\&p make FILE [flags]\n",
			"\\&First line\n\\&.second is no request\n.PP\n.PP\n.nf\n\\&  p make \\en   'x'\n.fi\n\\&Last.\n",
			"\\fB\\&\\-o\\fR, \\fB\\&\\-\\-out\\fR \\fI\\&string\\fR\n\\&where it goes\n\\&.or not (default here)\n",
			".SH EXAMPLES\n.PP\n.nf\n\\&  p make a\n\\&  p make b\n.fi\n", ".BR \\&p (1)\n",
		},
	} {
		for _, want := range parts {
			if !strings.Contains(pages[page], want) {
				t.Errorf("%s lacks\n%s\nit is\n%s", page, want, pages[page])
			}
		}
	}
	if strings.Contains(pages["p-make.1"], "secret") || strings.Contains(pages["p.1"], "inner") {
		t.Error("what is hidden has a place in the manual")
	}
}
