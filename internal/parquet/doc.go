// Package parquet reads Parquet files row by row, each as the text of a JSON object, in memory that does not grow with the file.
//
// The values of pages are decoded by github.com/parquet-go/parquet-go. What stands around them is read here, because a count or a size of a
// stranger's file must not decide how much memory is taken: the footer and the headers of pages (thrift.go), the compressed bytes (codec.go)
// and the counts inside of encodings (check.go) are checked before the library sees them. What is held is a page of each column.
//
// A list is an array, a struct an object, a map with texts as keys an object. Numbers are exact: integers and decimals as they are, floats as
// the shortest text of their value in float64. Times are texts: 2006-01-02T15:04:05.999999999Z, without the Z if they are of no time zone;
// dates and times of day likewise. Binary must be text in UTF-8. What JSON has no number for (NaN, infinities) is null, and counted.
package parquet
