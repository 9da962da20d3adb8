package record

// Kinds of files: the table, and how one is recognised. A new one is a file with a kind and a line in the table.

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"criticrm/strictjson"
)

// source gives the rows of one file, each as the text of one JSON value. Nothing of a file is kept beside the row in hand and what its kind
// needs to find the next one.
type source interface {
	// next gives the next row, valid until the next call, and io.EOF behind the last. A badRow is a fault of that row alone, behind which the
	// next one can be asked for. Any other error is final.
	next() ([]byte, error)
	// place is where the row stands that next gave last.
	place() place
	// syntax is an error in the text of that row, with its place in the file.
	syntax(*strictjson.Error) *RowError
}

// badRow says what is wrong with a row that a source cannot give.
type badRow string

func (b badRow) Error() string { return string(b) }

// kind is one kind of file.
type kind struct {
	name    string   // for people
	endings []string // of names, by which a folder's data files are found
	rows    string   // what docs/data.md says of its rows

	// is says by the first bytes whether a file is of this kind. No two kinds are so.
	is       func(head []byte, p *part) bool
	open     func(p *part) (source, error)
	untyped  bool // values are texts
	anywhere bool // it is not read from front to back
}

// kinds is the table.
func kinds() []*kind { return []*kind{&jsonLines, &jsonFile, &csvFile, &tsvFile, &parquetFile} }

// KindNames lists the kinds of files that are read.
func KindNames() (names []string) {
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

// packed are the endings that a compressed file has behind its kind's.
var packed = [...]string{"", ".gz", ".zst", ".zstd"}

// otherData are the endings of data files that are not read: a folder with one is refused, not read in part.
var otherData = [...]string{".arrow", ".feather", ".bz2", ".xz", ".zip", ".pickle", ".pkl", ".orc", ".avro", ".xlsx"}

// endings lists the names' ends that data files have.
func endings() (list []string) {
	for _, k := range kinds() {
		list = append(list, k.endings...)
	}
	return list
}

// dataName says whether a file of a folder is one of data, by its name.
func dataName(name string) bool {
	name = strings.ToLower(name)
	for _, end := range endings() {
		for _, p := range packed {
			if strings.HasSuffix(name, end+p) {
				return true
			}
		}
	}
	return slices.Contains(otherData[:], filepath.Ext(name))
}

// foreignKinds are kinds that are known by their first bytes and not read, and what to do with them.
var foreignKinds = [...]struct{ magic, what string }{
	{"version https://git-lfs.github.com/spec/", "a Git LFS pointer, which stands for a file that was not fetched: git lfs pull fetches it"},
	{"ARROW1", "an Arrow or Feather file: write it as Parquet (pyarrow.parquet.write_table)"},
	{"FEA1", "a Feather file: write it as Parquet (pyarrow.parquet.write_table)"},
	{"\xff\xff\xff\xff", "an Arrow stream, as datasets' save_to_disk writes it: write it with to_parquet or to_json"},
	{"PARE", "an encrypted Parquet file: write it without encryption"},
	{"ORC", "an ORC file: write it as Parquet"},
	{"Obj\x01", "an Avro file: write it as Parquet"},
	{"PK\x03\x04", "a zip file (an Excel table is one, too): unpack it, or save the table as CSV"},
	{"\xd0\xcf\x11\xe0", "an old Excel or Word file: save the table as CSV"},
	{"BZh", "compressed with bzip2: unpack it, or compress it with zstd or gzip"},
	{"\xfd7zXZ\x00", "compressed with xz: unpack it, or compress it with zstd or gzip"},
	{"\x1f\x8b", "packed twice: unpack it once"}, {"\x28\xb5\x2f\xfd", "packed twice: unpack it once"},
	{"\x04\x22\x4d\x18", "compressed with lz4: unpack it, or compress it with zstd or gzip"},
	{"7z\xbc\xaf", "a 7z file: unpack it"},
	{"SQLite format 3", "an SQLite database: export the table as CSV"},
	{"%PDF", "a PDF"},
	{"\x80\x02", "a pickle: write the rows as JSON Lines"}, {"\x80\x03", "a pickle: write the rows as JSON Lines"},
	{"\x80\x04", "a pickle: write the rows as JSON Lines"}, {"\x80\x05", "a pickle: write the rows as JSON Lines"},
	{"\x93NUMPY", "a NumPy array: write the rows as JSON Lines"},
	{"GGUF", "a model (GGUF), no rows"},
	{"<!DOCTYPE", "a web page, no rows: fetch the file itself (on a hub the address has resolve or raw in it, not blob)"},
	{"<!doctype", "a web page, no rows: fetch the file itself (on a hub the address has resolve or raw in it, not blob)"},
	{"<html", "a web page, no rows: fetch the file itself (on a hub the address has resolve or raw in it, not blob)"},
}

var lfsPointer = regexp.MustCompile(`oid sha256:([0-9a-f]{12})[0-9a-f]*\s+size (\d+)`)

// recognise finds the kind of a file by its first bytes; its name counts only where a text could be several.
func recognise(head []byte, p *part) (*kind, error) {
	text := bytes.TrimLeft(head, " \r\n")
	for _, f := range foreignKinds {
		if bytes.HasPrefix(text, []byte(f.magic)) {
			what := f.what
			if m := lfsPointer.FindSubmatch(head); m != nil && f.magic == foreignKinds[0].magic {
				what += fmt.Sprintf(" (%s bytes, sha256 %s…)", m[2], m[1])
			}
			return nil, p.fault(place{}, -1, "is %s", what)
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}), bytes.HasPrefix(head, []byte{0xFE, 0xFF}),
		len(head) >= 2 && (head[0] == 0) != (head[1] == 0):
		return nil, p.fault(place{}, -1, "looks like UTF-16; convert to UTF-8")
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return nil, p.fault(place{}, -1, "is a tar file: unpack it")
	}
	for _, k := range kinds() {
		if k.is(head, p) {
			return k, nil
		}
	}
	if slices.Contains(parquetFile.endings, strings.ToLower(filepath.Ext(p.name))) {
		return nil, p.fault(place{}, -1, "is no Parquet file, which its name says: its start is another one, cut off or damaged perhaps")
	}
	return &jsonLines, nil // which says what is wrong with it
}
