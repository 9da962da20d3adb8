package cuda

// lost says whether the driver refuses everything that the process asks of the device after an error: all but those that are known
// to leave the device as it is, since a new driver may have new ones. Numbers and names are those of cuda.h.
func lost(code int) bool {
	switch {
	case code < 200: // wrong values, no memory, no driver or device: 1 to 8, 34, 36, 46, 100 to 102
		return false
	case code == 214, code == 220, code == 226: // ECC_UNCORRECTABLE, NVLINK_UNCORRECTABLE, CONTAINED
		return true
	case code <= 225, code >= 300 && code <= 304: // images, contexts, mappings, compilation; files
		return false
	case code >= 400 && code <= 402, code == 500, code == 600: // INVALID_HANDLE, ILLEGAL_STATE, LOSSY_QUERY, NOT_FOUND, NOT_READY
		return false
	case code == 701, code >= 703 && code <= 708, code >= 711 && code <= 713, code == 720: // launches that did not begin, peers, host memory
		return false
	case code >= 800 && code <= 804, code == 811, code == 812: // not permitted, not supported
		return false
	case code >= 900 && code <= 908, code == 910, code >= 912 && code <= 915: // graphs, clusters, resources
		return false
	}
	return true // among others 700, 702, 709, 710, 714 to 719, 721, 805 to 810, 909, 911, 916, 999
}
