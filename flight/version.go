package flight

// WireVersion is the version of the contract that this package holds: words are added to it, and none is changed.
const WireVersion = 1
