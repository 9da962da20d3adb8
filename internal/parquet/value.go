package parquet

// Values of leaves as JSON.

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"criticrm/strictjson"
)

type valueWriter = func(*writer, *pq.Value) *ValueError

// writerOf is how the values of a leaf are written, by what is said of it.
func writerOf(e *format.SchemaElement) (valueWriter, error) {
	kind, fits := e.Type.V, func(kinds ...format.Type) bool {
		for _, k := range kinds {
			if e.Type.V == k {
				return true
			}
		}
		return false
	}
	if kind == format.FixedLenByteArray && (!e.TypeLength.Valid || e.TypeLength.V < 1 || e.TypeLength.V > 1<<20) {
		return nil, errors.New("its values have no length")
	}
	logical, converted := e.LogicalType.Value, deprecated.ConvertedType(-1)
	if e.ConvertedType.Valid {
		converted = e.ConvertedType.V
	}
	switch t := logical.(type) {
	case *format.DecimalType:
		return decimal(int(t.Scale)), nil
	case *format.DateType:
		return date, nil
	case *format.TimestampType:
		unit, err := unitOf(t.Unit)
		return timestamp(unit, t.IsAdjustedToUTC), err
	case *format.TimeType:
		unit, err := unitOf(t.Unit)
		return timeOfDay(unit), err
	case *format.IntType:
		if !t.IsSigned {
			return unsigned, nil
		}
	case *format.UUIDType:
		return uuid, nil
	case *format.Float16Type:
		return float16, nil
	case *format.JsonType:
		return embedded, nil
	case *format.BsonType, *format.GeometryType, *format.GeographyType:
		return nil, fmt.Errorf("values of type %v are not read: write them as text", logical)
	}
	if logical == nil {
		switch converted {
		case deprecated.Decimal:
			return decimal(int(e.Scale.V)), nil
		case deprecated.Date:
			return date, nil
		case deprecated.TimestampMillis:
			return timestamp(time.Millisecond, true), nil
		case deprecated.TimestampMicros:
			return timestamp(time.Microsecond, true), nil
		case deprecated.TimeMillis:
			return timeOfDay(time.Millisecond), nil
		case deprecated.TimeMicros:
			return timeOfDay(time.Microsecond), nil
		case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
			return unsigned, nil
		case deprecated.Json:
			return embedded, nil
		case deprecated.Bson, deprecated.Interval:
			return nil, fmt.Errorf("values of type %v are not read: write them as text", converted)
		}
	}
	switch {
	case fits(format.Boolean):
		return func(w *writer, v *pq.Value) *ValueError { w.b = strconv.AppendBool(w.b, v.Boolean()); return nil }, nil
	case fits(format.Int32, format.Int64):
		return func(w *writer, v *pq.Value) *ValueError { w.b = strconv.AppendInt(w.b, integer(v), 10); return nil }, nil
	case fits(format.Int96):
		return int96, nil
	case fits(format.Float):
		return func(w *writer, v *pq.Value) *ValueError { w.float(float64(v.Float())); return nil }, nil
	case fits(format.Double):
		return func(w *writer, v *pq.Value) *ValueError { w.float(v.Double()); return nil }, nil
	case fits(format.ByteArray, format.FixedLenByteArray):
		return text, nil
	}
	return nil, fmt.Errorf("values of type %v are not read", kind)
}

func integer(v *pq.Value) int64 {
	if v.Kind() == pq.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

func unsigned(w *writer, v *pq.Value) *ValueError {
	if v.Kind() == pq.Int32 {
		w.b = strconv.AppendUint(w.b, uint64(v.Uint32()), 10)
	} else {
		w.b = strconv.AppendUint(w.b, v.Uint64(), 10)
	}
	return nil
}

func (w *writer) float(v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		w.f.notFinite++
		w.b = append(w.b, "null"...)
		return
	}
	w.b = strconv.AppendFloat(w.b, v, 'g', -1, 64)
}

func float16(w *writer, v *pq.Value) *ValueError {
	b := v.ByteArray()
	if len(b) != 2 {
		return &ValueError{Msg: "a 16-bit float of another length"}
	}
	h := binary.LittleEndian.Uint16(b)
	sign, exponent, fraction := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)
	switch exponent {
	case 31:
		w.float(math.NaN())
	case 0:
		w.float(sign * math.Ldexp(fraction, -24))
	default:
		w.float(sign * math.Ldexp(1024+fraction, exponent-25))
	}
	return nil
}

func text(w *writer, v *pq.Value) *ValueError {
	b, ok := strictjson.AppendString(w.b, v.ByteArray())
	if !ok {
		return &ValueError{Msg: "bytes that are no text in UTF-8"}
	}
	w.b = b
	return nil
}

// embedded is a value of JSON in a column of such.
func embedded(w *writer, v *pq.Value) *ValueError {
	if err := strictjson.Read(v.ByteArray(), (*strictjson.Reader).Skip); err != nil {
		return &ValueError{Msg: "no JSON, which the column is to hold: " + err.Error()}
	}
	w.b = append(w.b, v.ByteArray()...)
	return nil
}

func uuid(w *writer, v *pq.Value) *ValueError {
	b := v.ByteArray()
	if len(b) != 16 {
		return &ValueError{Msg: "a UUID of another length"}
	}
	w.b = append(w.b, '"')
	for i, n := range [...]int{0, 4, 6, 8, 10} {
		if i > 0 {
			w.b = append(w.b, '-')
		}
		w.b = hex.AppendEncode(w.b, b[n:[...]int{4, 6, 8, 10, 16}[i]])
	}
	w.b = append(w.b, '"')
	return nil
}

// decimal is an integer with a point so many digits from its end.
func decimal(scale int) valueWriter {
	return func(w *writer, v *pq.Value) *ValueError {
		if scale < 0 || scale > 1000 {
			return &ValueError{Msg: fmt.Sprintf("a decimal with %d digits behind the point", scale)}
		}
		n := new(big.Int)
		switch v.Kind() {
		case pq.Int32, pq.Int64:
			n.SetInt64(integer(v))
		default: // two's complement, the highest byte first
			b := v.ByteArray()
			if len(b) > 1000 {
				return &ValueError{Msg: "a decimal of more than 1000 bytes"}
			}
			if n.SetBytes(b); len(b) > 0 && b[0] > 127 {
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
			}
		}
		digits := new(big.Int).Abs(n).String()
		for len(digits) <= scale {
			digits = "0" + digits
		}
		if n.Sign() < 0 {
			w.b = append(w.b, '-')
		}
		w.b = append(w.b, digits[:len(digits)-scale]...)
		if scale > 0 {
			w.b = append(append(w.b, '.'), digits[len(digits)-scale:]...)
		}
		return nil
	}
}

func date(w *writer, v *pq.Value) *ValueError {
	w.b = time.Unix(86400*integer(v), 0).UTC().AppendFormat(append(w.b, '"'), "2006-01-02")
	w.b = append(w.b, '"')
	return nil
}

func unitOf(u format.TimeUnit) (time.Duration, error) {
	switch u.Value.(type) {
	case *format.MilliSeconds:
		return time.Millisecond, nil
	case *format.MicroSeconds:
		return time.Microsecond, nil
	case *format.NanoSeconds:
		return time.Nanosecond, nil
	}
	return 0, errors.New("times in an unknown unit")
}

func timestamp(unit time.Duration, utc bool) valueWriter {
	layout := "2006-01-02T15:04:05.999999999"
	if utc {
		layout += "Z"
	}
	return func(w *writer, v *pq.Value) *ValueError {
		n, second := integer(v), int64(time.Second/unit)
		whole, rest := n/second, n%second
		if rest < 0 {
			whole, rest = whole-1, rest+second
		}
		w.b = time.Unix(whole, rest*int64(unit)).UTC().AppendFormat(append(w.b, '"'), layout)
		w.b = append(w.b, '"')
		return nil
	}
}

func timeOfDay(unit time.Duration) valueWriter {
	return func(w *writer, v *pq.Value) *ValueError {
		n := integer(v)
		if n < 0 || n > int64(24*time.Hour/unit) {
			return &ValueError{Msg: "a time of day that no day has"}
		}
		w.b = time.Unix(0, n*int64(unit)).UTC().AppendFormat(append(w.b, '"'), "15:04:05.999999999")
		w.b = append(w.b, '"')
		return nil
	}
}

// int96 is a time as older writers have it: nanoseconds of a day, and the day's number in the Julian calendar.
func int96(w *writer, v *pq.Value) *ValueError {
	i := v.Int96()
	nanos := int64(uint64(i[0]) | uint64(i[1])<<32)
	const epoch = 2440588 // 1970-01-01
	w.b = time.Unix((int64(i[2])-epoch)*86400, nanos).UTC().AppendFormat(append(w.b, '"'), "2006-01-02T15:04:05.999999999")
	w.b = append(w.b, '"')
	return nil
}
