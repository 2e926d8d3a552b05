"""From a notebook to a package: read it, order it, cut out what the product needs, run that in a child, prove it."""
