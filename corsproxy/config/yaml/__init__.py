"""From the text of a YAML file to a tree of nodes with positions."""
