// Package tfevents writes scalars and histograms to TensorBoard's event files.
//
// A file is a row of records (TFRecord): the length of the data as uint64 and its masked CRC-32C as uint32, the data, and its masked CRC-32C, all
// little-endian. The data of a record is a message Event of tensorflow/core/util/event.proto; the messages are small enough to be written by hand.
package tfevents

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"
)

// Value is a scalar under its tag, or a histogram.
type Value struct {
	Tag       string
	Value     float64
	Histogram *Histogram // nil: it is a scalar
}

// Histogram counts values: Counts[i] of them lie over Limits[i-1], or Min, and up to Limits[i].
type Histogram struct {
	Min, Max, Sum, Squares float64
	Limits, Counts         []float64
}

// Writer writes one event file. Each call of Scalars is one record, written at once.
type Writer struct{ f *os.File }

// Create makes a new event file in dir, and dir if need be. Values of the step from and later ones that earlier files of dir hold are void: they
// belong to a run that was stopped, and that makes these steps again.
func Create(dir string, from int64) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("tfevents: %w", err)
	}
	host, _ := os.Hostname() // a part of the name that TensorBoard does not read
	now := time.Now()
	var f *os.File
	for i := 0; f == nil; i++ { // TensorBoard reads files in the order of their names
		var err error
		name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.%d", now.Unix(), cmp.Or(filepath.Base(host), "localhost"), os.Getpid(), i)
		if f, err = os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644); err != nil && !os.IsExist(err) {
			return nil, fmt.Errorf("tfevents: %w", err)
		}
	}
	w := &Writer{f}
	version := message(event(now, 0), 3, []byte("brain.Event:2"))
	start := message(event(now, from), 7, varint(tag(nil, 1, 0), 1)) // session_log { status: START }
	if err := w.write(version); err != nil {
		return nil, fmt.Errorf("%w (%v)", err, f.Close())
	}
	if err := w.write(start); err != nil {
		return nil, fmt.Errorf("%w (%v)", err, f.Close())
	}
	return w, nil
}

// Scalars writes the values of a step, histograms among them.
func (w *Writer) Scalars(step int64, values []Value) error {
	var summary []byte
	for _, v := range values {
		one := message(nil, 1, []byte(v.Tag))
		if h := v.Histogram; h != nil {
			one = message(one, 5, h.proto()) // histo
		} else {
			one = binary.LittleEndian.AppendUint32(tag(one, 2, 5), math.Float32bits(float32(v.Value))) // simple_value
		}
		summary = message(summary, 1, one)
	}
	return w.write(message(event(time.Now(), step), 5, summary))
}

// proto is a HistogramProto.
func (h *Histogram) proto() (b []byte) {
	n := 0.0
	for _, c := range h.Counts {
		n += c
	}
	for i, x := range []float64{h.Min, h.Max, n, h.Sum, h.Squares} {
		b = doubles(tag(b, i+1, 1), []float64{x})
	}
	return message(message(b, 6, doubles(nil, h.Limits)), 7, doubles(nil, h.Counts))
}

func doubles(b []byte, list []float64) []byte {
	for _, x := range list {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	return b
}

// Close closes the file.
func (w *Writer) Close() error { return w.f.Close() }

// write appends a record.
func (w *Writer) write(data []byte) error {
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b := binary.LittleEndian.AppendUint32(head, masked(head))
	b = append(b, data...)
	b = binary.LittleEndian.AppendUint32(b, masked(data))
	if _, err := w.f.Write(b); err != nil {
		return fmt.Errorf("tfevents: %w", err)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is TFRecord's checksum: CRC-32C, turned and moved so that data may hold checksums themselves.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// event begins an Event: wall_time (seconds) and step.
func event(at time.Time, step int64) []byte {
	b := binary.LittleEndian.AppendUint64(tag(nil, 1, 1), math.Float64bits(float64(at.UnixNano())/1e9))
	return varint(tag(b, 2, 0), uint64(step))
}

// tag appends a field's number and wire type: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
func tag(b []byte, field, wire int) []byte { return append(b, byte(field<<3|wire)) }

func varint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

// message appends a field of bytes: a text or a message.
func message(b []byte, field int, data []byte) []byte {
	return append(varint(tag(b, field, 2), uint64(len(data))), data...)
}
