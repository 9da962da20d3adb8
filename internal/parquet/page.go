package parquet

// A column of a row group, page by page.

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// column reads the values of a leaf of the schema through one row group after the other.
type column struct {
	f    *File
	leaf *pq.Column
	name string
	max  [2]int // levels of repetition and definition

	pages  pq.Pages // that the library decodes
	stream stream   // which it reads from
	reader pq.ValueReader
	values []pq.Value // decoded, and not yet taken
	room   [128]pq.Value
}

// start begins a row group.
func (c *column) start(chunk *format.ColumnChunk) error {
	m := &chunk.MetaData
	switch {
	case chunk.FilePath != "":
		return c.fault(errors.New("its values lie in another file"))
	case chunk.CryptoMetadata.Value != nil || len(chunk.EncryptedColumnMetadata) > 0:
		return c.fault(errors.New("it is encrypted"))
	}
	c.pages, c.reader, c.values = nil, nil, nil
	if m.NumValues == 0 {
		return nil // Arrow writes a group without rows, and no place of its pages
	}
	begin := m.DataPageOffset
	if m.DictionaryPageOffset > 0 && m.DictionaryPageOffset < begin {
		begin = m.DictionaryPageOffset
	}
	if begin < 4 || m.TotalCompressedSize < 0 || begin > c.f.size || m.TotalCompressedSize > c.f.size-begin || m.NumValues < 0 {
		return c.fault(errors.New("its place in the file cannot be right"))
	}
	c.stream = stream{c: c, at: begin, end: begin + m.TotalCompressedSize, left: m.NumValues, codec: m.Codec}
	c.pages = c.leaf.PagesFrom(&c.stream)
	return nil
}

func (c *column) fault(err error) error { return fmt.Errorf("column %q: %w", c.name, err) }

// peek is the next value, nil if the row group has no more.
func (c *column) peek() (*pq.Value, error) {
	for len(c.values) == 0 {
		if c.pages == nil {
			return nil, nil
		}
		if c.reader == nil {
			page, err := c.pages.ReadPage()
			if c.stream.err != nil {
				return nil, c.fault(c.stream.err)
			}
			if err == io.EOF {
				c.pages.Close()
				c.pages = nil
				if c.stream.left > 0 {
					return nil, c.fault(fmt.Errorf("%d values are missing", c.stream.left))
				}
				return nil, nil
			}
			if err != nil {
				return nil, c.fault(err)
			}
			c.reader = page.Values()
		}
		n, err := c.reader.ReadValues(c.room[:])
		c.values = c.room[:n]
		if err == io.EOF || err == nil && n == 0 {
			c.reader, err = nil, nil
		}
		if err != nil {
			return nil, c.fault(err)
		}
	}
	return &c.values[0], nil
}

func (c *column) pop() { c.values = c.values[1:] }

// stream is the pages of a column's row group as the library reads them: one behind the other, checked and unpacked.
type stream struct {
	c     *column
	at    int64 // of the next page in the file
	end   int64
	left  int64 // values that are not in pages so far
	codec format.CompressionCodec

	out   []byte // bytes of a page that were not asked for
	given int64  // bytes that were
	err   error  // why there is no next page
}

// ReadAt gives the next bytes: the library asks for one piece after the other.
func (s *stream) ReadAt(b []byte, off int64) (n int, err error) {
	if off != s.given {
		return 0, errors.New("a page refers to a dictionary that is not there")
	}
	for n < len(b) {
		for len(s.out) == 0 && s.err == nil && s.left > 0 && s.at < s.end {
			s.out, s.err = s.page()
		}
		if len(s.out) == 0 {
			break
		}
		k := copy(b[n:], s.out)
		s.out, n = s.out[k:], n+k
	}
	s.given += int64(n)
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// maxHeader bounds the header of a page, which may have the smallest and the largest value in it.
const maxHeader = 16 << 20

// header reads the header of the next page.
func (s *stream) header() (*format.PageHeader, error) {
	for size := int64(512); ; size *= 8 {
		b := make([]byte, min(size, s.end-s.at))
		if _, err := s.c.f.r.ReadAt(b, s.at); err != nil && err != io.EOF {
			return nil, err
		}
		n, err := structure(b)
		if err == errShort && size < min(maxHeader, s.end-s.at) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the header of a page: %w", err)
		}
		h := &format.PageHeader{}
		if err := thrift.Unmarshal(&thrift.CompactProtocol{}, b[:n], h); err != nil {
			return nil, fmt.Errorf("the header of a page: %w", err)
		}
		s.at += int64(n)
		return h, nil
	}
}

// page is the next page, unpacked, with a header that says so; nothing if it has no values.
func (s *stream) page() ([]byte, error) {
	h, err := s.header()
	if err != nil {
		return nil, err
	}
	packed, size := int64(h.CompressedPageSize), int(h.UncompressedPageSize)
	if packed < 0 || packed > s.end-s.at || size < 0 {
		return nil, fmt.Errorf("the header of a page: %w", errDamaged)
	}
	if size > maxPage || packed > maxPage {
		return nil, fmt.Errorf("a page has %d bytes, limit %d: write smaller ones", max(int64(size), packed), maxPage)
	}
	body := make([]byte, packed)
	if _, err := io.ReadFull(io.NewSectionReader(s.c.f.r, s.at, packed), body); err != nil {
		return nil, err
	}
	s.at += packed
	if h.CRC != 0 && crc32.ChecksumIEEE(body) != uint32(h.CRC) {
		return nil, errors.New("a page is damaged (its checksum is another one)")
	}
	count := 0
	switch h.Type {
	case format.DictionaryPage:
		if body, err = s.c.f.unpacker.unpack(s.codec, body, size); err == nil {
			err = s.dictionary(&h.DictionaryPageHeader, body)
		}
	case format.DataPage:
		count = int(h.DataPageHeader.V.NumValues)
		h.DataPageHeader.V.Statistics = format.Statistics{}
		if body, err = s.c.f.unpacker.unpack(s.codec, body, size); err == nil {
			err = s.check(body, count, h.DataPageHeader.Valid, [2]int{-1, -1}, h.DataPageHeader.V.Encoding)
		}
	case format.DataPageV2:
		v := &h.DataPageHeaderV2.V
		count = int(v.NumValues)
		v.Statistics = format.Statistics{}
		sizes := [2]int{int(v.RepetitionLevelsByteLength), int(v.DefinitionLevelsByteLength)}
		first := sizes[0] + sizes[1]
		if sizes[0] < 0 || sizes[1] < 0 || first > len(body) || first > size || v.NumNulls < 0 || v.NumNulls > v.NumValues {
			return nil, fmt.Errorf("the header of a page: %w", errDamaged)
		}
		if !v.IsCompressed.Valid || v.IsCompressed.V {
			var values []byte
			if values, err = s.c.f.unpacker.unpack(s.codec, body[first:], size-first); err == nil {
				body = append(body[:first:first], values...)
			}
		}
		v.IsCompressed.Valid, v.IsCompressed.V = true, false
		if err == nil {
			err = s.check(body, count, h.DataPageHeaderV2.Valid, sizes, v.Encoding)
		}
	case format.IndexPage:
		return nil, nil
	default:
		return nil, fmt.Errorf("a page of kind %v, which is not read", h.Type)
	}
	if err != nil {
		return nil, err
	}
	if s.left -= int64(count); s.left < 0 {
		return nil, errors.New("it has more values than it says")
	}
	if count == 0 && h.Type != format.DictionaryPage {
		return nil, nil
	}
	h.CRC, h.CompressedPageSize, h.UncompressedPageSize = 0, int32(len(body)), int32(len(body))
	head, err := thrift.Marshal(&thrift.CompactProtocol{}, h)
	return append(head, body...), err
}

// check looks at the counts of a page of values.
func (s *stream) check(body []byte, count int, valid bool, sizes [2]int, encoding format.Encoding) error {
	if !valid || count < 0 {
		return fmt.Errorf("the header of a page: %w", errDamaged)
	}
	if count > maxValues {
		return fmt.Errorf("a page has %d values, limit %d: write smaller ones", count, maxValues)
	}
	values, err := levels(body, s.c.max, sizes, count)
	if err != nil {
		return err
	}
	return counts(values, encoding, count)
}

// dictionary checks that a dictionary can have as many values as it says.
func (s *stream) dictionary(h *thrift.Null[format.DictionaryPageHeader], body []byte) error {
	n := int(h.V.NumValues)
	least := map[pq.Kind]int{pq.ByteArray: 4, pq.Int32: 4, pq.Float: 4, pq.Int64: 8, pq.Double: 8, pq.Int96: 12, pq.FixedLenByteArray: max(1, s.c.leaf.Type().Length())}
	if !h.Valid || n < 0 || n > 8*len(body) || n*least[s.c.leaf.Type().Kind()] > len(body) {
		return fmt.Errorf("a dictionary: %w", errDamaged)
	}
	return nil
}
