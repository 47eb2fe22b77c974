"""What can be wrong with a file before its keys are looked at: YAML, caps, the environment."""

from typing import Final

from corsproxy.config.problems.entry import Entry

FILE: Final[dict[str, Entry]] = {
    # The file and its YAML (forwarding.md K1).
    "file_unreadable": Entry(
        "E001",
        "{file} cannot be read: {reason}",
        "check the path and its permissions",
        "The configuration file does not exist, is a directory, or may not be read by this user.",
    ),
    "file_too_large": Entry(
        "E002",
        "the file is larger than {limit} bytes",
        "check that this is the right file; long lists of origins often become one pattern",
        "Files above 1 MiB are refused, so that a wrong file cannot take the memory.",
    ),
    "not_utf8": Entry(
        "E003",
        "byte {byte} is not UTF-8",
        "save the file as UTF-8",
        "YAML files for corsproxy are UTF-8, with or without a byte order mark.",
    ),
    "file_empty": Entry(
        "E004",
        "the file is empty",
        "begin with the output of `corsproxy init minimal`",
        "A configuration needs a version and at least one route.",
    ),
    "not_a_mapping": Entry(
        "E005",
        "the file does not begin with a mapping of keys",
        "begin with `version: 1`",
        "The top of the file is a mapping: version, routes and what else is set.",
    ),
    "second_document": Entry(
        "E006",
        "a second document begins here",
        "remove the `---`; one file is one configuration",
        "YAML allows several documents in a file; which of them should count would be a guess.",
    ),
    "too_deep": Entry(
        "E007",
        "values are nested deeper than {limit} levels",
        "flatten the file; no setting needs more than 8 levels",
        "Depth is bounded, so that a hostile file cannot exhaust the stack.",
    ),
    "too_many_nodes": Entry(
        "E008",
        "the file holds more than {limit} values, aliases expanded",
        "check that this is the right file, and that anchors do not multiply each other",
        "Nested aliases can expand a small file to gigabytes; what is expanded is counted.",
    ),
    "alias_unknown": Entry(
        "E009",
        "there is no anchor &{name} above this alias",
        "define &{name} first, or quote the text if it should begin with *",
        "An alias (*name) repeats what was marked with an anchor (&name) earlier in the file.",
    ),
    "alias_recursive": Entry(
        "E010",
        "the alias *{name} stands inside of what it repeats",
        "remove the alias",
        "A value that contains itself has no end.",
    ),
    "key_not_scalar": Entry(
        "E011",
        "a list or a mapping cannot be a key",
        "write the key as plain text; a value that holds {{ or [ at its start needs quotes",
        "YAML allows any value as a key; settings have names.",
    ),
    "duplicate_key": Entry(
        "E012",
        "{key} stands here a second time; line {line} has it already",
        "keep one of the two",
        "Many YAML readers keep the last of equal keys silently; here it is a mistake.",
    ),
    "merge_key": Entry(
        "E013",
        "<< is no key here: YAML 1.2 has no merge",
        "write the keys out, or use an alias for the whole value",
        "The merge key was part of YAML 1.1 and is not part of YAML 1.2.",
    ),
    "tag": Entry(
        "E014",
        "the tag {tag} is not allowed",
        'remove it; quote the text if it should begin with "!"',
        "Tags make a YAML reader build other types than the file shows; none are needed here.",
    ),
    "yaml_star": Entry(
        "E015",
        "a * at the start of a value begins an alias",
        'put it in quotes: "*"',
        "In YAML a plain * refers to an anchor. Origins and headers that begin with * need quotes.",
    ),
    "yaml_ampersand": Entry(
        "E016",
        "an & at the start of a value begins an anchor, and a name has to follow",
        'put the value in quotes: "&…"',
        "In YAML a plain & marks a value so that *name can repeat it.",
    ),
    "yaml_colon": Entry(
        "E017",
        "a second `: ` on this line, or a key that is indented too far",
        "put a value that holds `: ` in quotes; give keys of one mapping the same indentation",
        "`: ` ends a key. Inside a plain value it looks like a mapping within a line.",
    ),
    "yaml_quote_open": Entry(
        "E018",
        "the quote that begins on line {line} has no end",
        "close the quote",
        "A quoted text goes on over lines until the same quote ends it.",
    ),
    "yaml_escape": Entry(
        "E019",
        "this is no escape that double quotes know",
        "use single quotes, or write \\\\ for a backslash",
        "In double quotes a backslash begins an escape such as \\n or \\u00e9.",
    ),
    "yaml_bracket_open": Entry(
        "E020",
        "the list that begins with [ on line {line} has no , or ] here",
        "close it with ], or quote items that hold [ ] {{ }} or ,",
        "A list in brackets is items with commas between them.",
    ),
    "yaml_brace_open": Entry(
        "E021",
        "the mapping that begins with {{ on line {line} has no , or }} here",
        "close it with }}, or quote values that hold [ ] {{ }} or ,",
        "A mapping in braces is `key: value` pairs with commas between them.",
    ),
    "yaml_no_colon": Entry(
        "E022",
        "the key that begins on line {line} has no : after it",
        "write `key: value`",
        "Each line of a mapping is a key, a colon, and a value.",
    ),
    "yaml_indentation": Entry(
        "E023",
        "this line does not continue what begins on line {line}",
        "give keys of one mapping, and the - of one list, the same indentation",
        "Indentation decides what belongs to what; a line that is out of step belongs to nothing.",
    ),
    "yaml_tab": Entry(
        "E024",
        "a tab cannot indent",
        "indent with spaces",
        "YAML allows only spaces as indentation, because tabs have no fixed width.",
    ),
    "yaml_reserved": Entry(
        "E025",
        "a value cannot begin with {char}",
        "put it in quotes",
        "@, `, % and a few more are reserved or have another meaning at the start of a value.",
    ),
    "yaml_control": Entry(
        "E026",
        "the character {char} may not stand in a YAML file",
        'remove it, or write it as an escape in double quotes, such as "\\x07"',
        "Control characters are invisible, and forbidden in YAML.",
    ),
    "yaml_other": Entry(
        "E027",
        "this is no YAML: {what}",
        "compare the line with the example that `corsproxy init full` prints",
        "The YAML parser stopped here.",
    ),
    "yaml_no_value": Entry(
        "E028",
        "no value can begin here",
        "write one; a value that begins with : , ] or }} needs quotes",
        "These characters part values from each other between brackets and braces.",
    ),
    # The environment (forwarding.md K2).
    "variable_missing": Entry(
        "E030",
        "the environment has no variable {name}",
        "set {name}, or give a default: ${{{name}:-…}}",
        "${NAME} is replaced by the variable of the environment, which has to exist.",
    ),
    "variable_malformed": Entry(
        "E031",
        "{text} is no reference to a variable",
        "write ${{NAME}} or ${{NAME:-default}}; $${{ stands for ${{ itself",
        "Names of variables are letters, digits and _, and do not begin with a digit.",
    ),
    "variable_of_request": Entry(
        "E032",
        "{text} is known in header values of rules only",
        "write a fixed value here; $${{ stands for ${{ itself",
        "Variables such as ${request.id} have a value while a request is served, not before.",
    ),
    "variable_not_utf8": Entry(
        "E034",
        "the value of {name} in the environment is not UTF-8",
        "set {name} to text",
        "What stands in a configuration is text; bytes that are none could not be sent or shown.",
    ),
    "environment_too_large": Entry(
        "E033",
        "with the values of the environment the file grows beyond {limit} bytes",
        "check which variables are used",
        "What the environment adds is bounded like the file itself.",
    ),
}
