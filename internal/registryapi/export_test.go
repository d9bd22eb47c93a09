package registryapi

// SetMaxPages sets the maximum number of pages of a list.
func (c *Client) SetMaxPages(pages int) { c.maxPages, c.remote.TagListMaxPages = pages, pages }
