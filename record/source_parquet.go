package record

// Parquet, as package internal/parquet reads it.

import (
	"errors"
	"io"

	"criticrm/internal/parquet"
	"criticrm/strictjson"
)

var parquetFile = kind{
	name: "Parquet", endings: []string{".parquet"}, anywhere: true,
	rows: "the rows, with lists, structs and maps as arrays and objects, times as texts, and no packing around the file",
	is:   func(head []byte, _ *part) bool { return len(head) >= 4 && string(head[:4]) == parquet.Magic },
	open: func(p *part) (source, error) {
		if p.whole == nil {
			return nil, p.fault(place{}, -1, "is a Parquet file, which is not read from front to back: unpack it, and name the file instead of a pipe")
		}
		f, err := parquet.Open(p.whole, p.total, p.r.o.MaxLine)
		if err != nil {
			return nil, p.fault(place{}, -1, "is a Parquet file that cannot be read: %v", err)
		}
		p.closers = append(p.closers, func() error { f.Close(); return nil })
		return &parquetRows{p: p, f: f}, nil
	},
}

type parquetRows struct {
	p     *part
	f     *parquet.File
	bytes int64 // of the rows so far
}

func (s *parquetRows) place() place { return place{row: int(s.f.Row())} }

func (s *parquetRows) syntax(e *strictjson.Error) *RowError {
	return s.p.fault(s.place(), -1, "%s", e.Msg) // its byte is one of a text that nobody sees
}

func (s *parquetRows) next() ([]byte, error) {
	text, err := s.f.Next()
	var bad *parquet.ValueError
	switch {
	case err == io.EOF:
		if n := s.f.NotFinite(); n > 0 {
			s.p.r.note(s.p, "%d numbers are NaN or infinite, which is read as null", n)
		}
		return nil, err
	case errors.As(err, &bad):
		return nil, badRow(bad.Msg)
	case err != nil:
		return nil, s.p.fault(s.place(), -1, "cannot be read: %v", err)
	}
	if s.bytes += int64(len(text)); s.bytes > s.p.r.o.MaxBytes {
		return nil, s.p.fault(place{}, -1, "decompresses to more than %d bytes", s.p.r.o.MaxBytes)
	}
	if n := s.f.Rows(); n > 0 {
		s.p.read.Store(int64(float64(s.p.total) * float64(s.f.Row()) / float64(n)))
	}
	return text, nil
}
