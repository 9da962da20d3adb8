package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Magic is what a file begins and ends with.
const Magic = "PAR1"

// ValueError is a fault of one row: of a value that no JSON can have. The next row can be asked for.
type ValueError struct{ Msg string }

func (e *ValueError) Error() string { return e.Msg }

// File reads the rows of a file in their order.
type File struct {
	r    io.ReaderAt
	size int64
	meta format.FileMetaData

	root     *node
	columns  []*column
	unpacker unpacker

	group int   // the next row group
	left  int64 // rows of the one in hand
	row   int64 // of the file, from 1
	text  []byte
	most  int // bytes of a row

	notFinite int64
}

// maxFooter bounds the footer: a thousand row groups of a hundred columns take 10 MB.
const maxFooter = 64 << 20

// Open reads the footer of a file. A row may have most bytes as text.
func Open(r io.ReaderAt, size int64, most int) (f *File, err error) {
	defer guard(&err)
	f = &File{r: r, size: size, most: most}
	var tail [8]byte
	if size < 12 {
		return nil, errShort
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil && err != io.EOF {
		return nil, err
	}
	if string(tail[4:]) != Magic {
		return nil, errors.New("it is cut off: there is no footer at its end")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > size-12 || n > maxFooter {
		return nil, fmt.Errorf("its footer has %d bytes, which cannot be right", n)
	}
	footer := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(r, size-8-n, n), footer); err != nil {
		return nil, err
	}
	used, err := structure(footer)
	if err != nil {
		return nil, fmt.Errorf("its footer: %w", err)
	}
	if err := thrift.Unmarshal(&thrift.CompactProtocol{}, footer[:used], &f.meta); err != nil {
		return nil, fmt.Errorf("its footer: %w", err)
	}
	if f.meta.EncryptionAlgorithm.Value != nil {
		return nil, errors.New("it is encrypted")
	}
	return f, f.openColumns()
}

// guard makes an error of a panic: the library panics at some damages.
func guard(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("it is damaged (%v)", r)
	}
}

// Rows is how many rows the file says it has.
func (f *File) Rows() int64 { return f.meta.NumRows }

// Row is the number of the row that Next gave last, from 1.
func (f *File) Row() int64 { return f.row }

// NotFinite counts the numbers that were given as null, because JSON has none for them.
func (f *File) NotFinite() int64 { return f.notFinite }

// Close frees what Open has taken; the file itself is the caller's.
func (f *File) Close() { f.unpacker.close() }

// openColumns has the library open the columns of a file with the same schema and nothing else: it decodes pages that are handed to it.
func (f *File) openColumns() error {
	leaves, err := f.openTree()
	if err != nil {
		return err
	}
	plain := format.FileMetaData{Version: 2, Schema: make([]format.SchemaElement, len(f.meta.Schema))}
	group := format.RowGroup{NumRows: math.MaxInt32}
	for i, e := range f.meta.Schema {
		plain.Schema[i] = format.SchemaElement{Type: e.Type, TypeLength: e.TypeLength, RepetitionType: e.RepetitionType, Name: e.Name, NumChildren: e.NumChildren}
		if e.Type.Valid {
			plain.Schema[i].Name = fmt.Sprint(i) // names may repeat, and are not needed
			group.Columns = append(group.Columns, format.ColumnChunk{MetaData: format.ColumnMetaData{Type: e.Type.V, Encoding: []format.Encoding{format.Plain},
				NumValues: math.MaxInt32, TotalCompressedSize: math.MaxInt64 / 2}})
		}
	}
	plain.RowGroups = []format.RowGroup{group}
	b, err := thrift.Marshal(&thrift.CompactProtocol{}, &plain)
	if err != nil {
		return err
	}
	b = append([]byte(Magic), b...)
	b = append(binary.LittleEndian.AppendUint32(b, uint32(len(b)-4)), Magic...)
	file, err := pq.OpenFile(readerAt(b), int64(len(b)), pq.SkipPageIndex(true), pq.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("its schema: %w", err)
	}
	var visit func(*pq.Column)
	visit = func(c *pq.Column) {
		if c.Leaf() {
			leaf := leaves[len(f.columns)]
			leaf.column = &column{f: f, leaf: c, name: leaf.path, max: [2]int{leaf.repetition, leaf.definition}}
			f.columns = append(f.columns, leaf.column)
		}
		for _, child := range c.Columns() {
			visit(child)
		}
	}
	visit(file.Root())
	if len(f.columns) != len(leaves) {
		return errors.New("its schema is damaged")
	}
	for i, g := range f.meta.RowGroups {
		if len(g.Columns) != len(leaves) || g.NumRows < 0 {
			return fmt.Errorf("row group %d is damaged", i+1)
		}
	}
	return nil
}

// readerAt is a file in memory.
type readerAt []byte

func (b readerAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Next gives the next row as an object of JSON, its keys in the order of the columns, valid until the next call; io.EOF behind the last. A
// *ValueError is of this row alone, any other error is final.
func (f *File) Next() (text []byte, err error) {
	defer guard(&err)
	for f.left == 0 {
		if err := f.groupEnd(); err != nil {
			return nil, err
		}
		if f.group == len(f.meta.RowGroups) {
			if f.row != f.meta.NumRows {
				return nil, fmt.Errorf("it has %d rows, its footer says %d", f.row, f.meta.NumRows)
			}
			return nil, io.EOF
		}
		g := &f.meta.RowGroups[f.group]
		f.group, f.left = f.group+1, g.NumRows
		for i, c := range f.columns {
			if err := c.start(&g.Columns[i]); err != nil {
				return nil, err
			}
		}
	}
	f.left--
	f.row++
	w := writer{f: f, b: f.text[:0]}
	if err := w.object(f.root, 0); err != nil {
		return nil, err
	}
	f.text = w.b
	if w.bad != nil {
		return nil, w.bad
	}
	return f.text, nil
}

// groupEnd checks that no column has more values than the rows of its group.
func (f *File) groupEnd() error {
	if f.group == 0 {
		return nil
	}
	for _, c := range f.columns {
		v, err := c.peek()
		if err != nil {
			return err
		}
		if v != nil {
			return c.fault(errors.New("it has more values than rows"))
		}
	}
	return nil
}
