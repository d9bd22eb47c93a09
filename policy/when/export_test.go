package when

// Kept is of how many texts something is kept.
func (c *Compiler) Kept() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.compiled)
}
