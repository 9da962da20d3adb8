package record

// LayoutFiles are the rows of the tests of layouts, a file each.
func LayoutFiles() (files [][]string) {
	for _, c := range layoutCases() {
		files = append(files, c.rows)
	}
	return files
}
