# The program of scripts/plain-words, in POSIX awk. Bytes are characters (LC_ALL=C).
#
# scripts/plain-words passes these variables in. The variable words is the list of words.
# The variable tmp is a folder with the names of the files to read.
# If change is set, the folder also has the added lines.
# The variables max, kinds, quiet and whole are the values of the options.

# Reporting

function wanted(kind) { return kinds == "" || index("," kinds ",", "," kind ",") }

function report(kind, word, instead,   i, key, text) {
	if (!wanted(kind)) return
	if (change && !((file ":" line) in added) && !((file ":*") in added)) return
	key = file SUBSEP line SUBSEP kind SUBSEP word
	if (key in seen) return
	seen[key] = 1
	for (i = 1; i <= allows; i++)
		if ((allowWord[i] == word || allowWord[i] == "*") && file ~ allowGlob[i]) {
			used[i] = 1
			allowed++
			return
		}
	count[kind]++
	times[kind SUBSEP word]++
	if (quiet) return
	text = whole_line
	gsub(/^[ \t]+/, "", text)
	if (length(text) > 110) {
		text = substr(text, 1, 110)
		sub(/[\300-\377][\200-\277]*$/, "", text)
		text = text "…"
	}
	printf "%s:%d: %s: %s%s: %s\n", file, line, kind, word, instead == "" ? "" : " -> " instead, text
}

# summary prints the number of candidates of each kind, and the most frequent words of the kind.
function summary(   order, kinds_, i, j, total, key, part, n, name, often, best, shown) {
	kinds_ = split("word style name file long allow", order, " ")
	for (i = 1; i <= kinds_; i++) total += count[order[i]]
	printf "%d files", files - generatedFiles
	if (generatedFiles) printf " (%d generated ones left out)", generatedFiles
	for (i = 1; i <= kinds_; i++) printf ", %s %d", order[i], count[order[i]]
	printf ", allowed %d: %d candidates\n", allowed, total
	for (i = 1; i < kinds_; i++) {
		n = 0
		for (key in times) {
			split(key, part, SUBSEP)
			if (part[1] == order[i] && part[2] != part[1]) {
				name[++n] = part[2]
				often[n] = times[key]
			}
		}
		shown = ""
		for (j = 1; j <= n && j <= 24; j++) {
			best = j
			for (key = j + 1; key <= n; key++)
				if (often[key] > often[best] || often[key] == often[best] && name[key] < name[best]) best = key
			shown = shown (j > 1 ? ", " : "") name[best] " " often[best]
			name[best] = name[j]
			often[best] = often[j]
		}
		if (n) print "  " order[i] ": " shown (n > 24 ? " …" : "")
	}
	return total
}

# Prose

function columns(s) {
	gsub(/[\200-\277]/, "", s) # a character is its first byte
	gsub(/\t/, "    ", s)
	return length(s)
}

function long(s,   n) {
	n = columns(s)
	if (n <= max) return
	gsub(url, "", s) # it cannot be broken
	if (columns(s) > max) report("long", "long", n " columns")
}

function prose(text,   t, i) {
	t = tolower(text)
	gsub(url, " ", t)
	gsub(/\\[nt"]/, " ", t)
	gsub(/[.;:!?()]/, " & ", t)
	gsub(/[^a-z0-9_.;:!?()\047-]+/, " ", t)
	t = " . " t " "
	gsub(/  +/, " ", t)
	if (text ~ /(^ *|[.:!?] )Else,? [a-z]/) report("style", "else", "otherwise")
	if (t !~ anyPattern) return
	for (i = 1; i <= fines; i++) gsub(fine[i], " ok ", t)
	for (i = 1; i <= patterns; i++)
		if (t ~ pattern[i]) report(patternKind[i], patternWord[i], patternInstead[i])
}

# Names

# known reports the words of a declared identifier.
# The argument inside is true if the identifier is a field, a constant or a variable.
# For such an identifier, the words in the list ordinary are not reported.
function known(id, inside,   lower, i, n, part, s) {
	lower = tolower(substr(id, 1, 1)) substr(id, 2)
	for (i = 1; i <= names; i++)
		if (lower == nameId[i] && file ~ nameFolder[i] && !(inside && (lower in ordinary))) {
			report("name", id, nameInstead[i])
			return
		}
	if (id ~ /^(Test|Benchmark|Fuzz|Example)/) return
	s = id
	gsub(/[A-Z]/, " &", s)
	gsub(/_/, " ", s)
	n = split(tolower(s), part, " ")
	for (i = 1; i <= n; i++)
		if (part[i] in partInstead) {
			report("name", id, partInstead[part[i]])
			return
		}
}

function knownAt(s, inside) {
	if (match(s, /^[A-Za-z_][A-Za-z0-9_]*/)) known(substr(s, 1, RLENGTH), inside)
}

# declared finds the identifiers that a line of Go declares.
# The variable group is the line that began a parenthesized declaration.
# The variable depth counts the open structs and interfaces.
# The element ends[depth] has the indentation of the closing brace at this depth.
function declared(code,   s, n, ids, i, indent) {
	s = code
	if (s ~ /^func /) {
		sub(/^func +/, "", s)
		sub(/^\([^)]*\) */, "", s)
		knownAt(s, 0)
		return
	}
	if (group == "" && s ~ /^(type|var|const) +\($/) {
		group = s
		return
	}
	if (group != "" && s ~ /^\)/) {
		group = ""
		return
	}
	if (s ~ /^[\t ]*(type|var|const) +[A-Za-z_]/) {
		sub(/^[\t ]*(type|var|const) +/, "", s)
		knownAt(s, code !~ /^[\t ]*type/)
	} else if (group != "" && depth == 0 && s ~ /^\t[A-Za-z_]/) {
		knownAt(substr(s, 2), group !~ /^type/)
	} else if (depth > 0 && match(s, /^\t+[A-Za-z_][A-Za-z0-9_]*(, [A-Za-z_][A-Za-z0-9_]*)* +[^ =:(]/)) {
		sub(/^\t+/, "", s)
		match(s, /^[A-Za-z_][A-Za-z0-9_]*(, [A-Za-z_][A-Za-z0-9_]*)*/)
		n = split(substr(s, 1, RLENGTH), ids, ", ")
		for (i = 1; i <= n; i++) known(ids[i], 1)
	}
	if (code ~ /(struct|interface) \{ *$/) {
		indent = code
		sub(/[^\t].*$/, "", indent)
		ends[++depth] = "^" indent "}"
	} else if (depth > 0 && code ~ ends[depth]) depth--
}

# Files

function goLine(s,   rest, code, strings, comment, two) {
	if (!raw && !block && s ~ /^import \($/) imports = 1
	if (imports) {
		if (s ~ /^\)/) imports = 0
		return
	}
	if (s ~ /^import /) return
	rest = s
	while (rest != "") {
		if (raw || block) { # up to the end of a raw string or of a comment that began before
			two = raw ? "`" : "*/"
			n = index(rest, two)
			if (raw) strings = strings " " (n ? substr(rest, 1, n - 1) : rest)
			else comment = comment " " (n ? substr(rest, 1, n - 1) : rest)
			rest = n ? substr(rest, n + length(two)) : ""
			if (n) raw = block = 0
			continue
		}
		if (!match(rest, /["`\047]|\/\/|\/\*/)) {
			code = code rest
			break
		}
		code = code substr(rest, 1, RSTART - 1)
		rest = substr(rest, RSTART)
		two = substr(rest, 1, 2)
		if (two == "//") {
			comment = comment " " substr(rest, 3)
			break
		}
		if (two == "/*") {
			block = 1
			rest = substr(rest, 3)
		} else if (rest ~ /^`/) {
			rest = substr(rest, 2)
			if (rest ~ /^[a-z]+:"/ && index(rest, "`")) { # a struct tag: people read doc:"…"
				two = substr(rest, 1, index(rest, "`") - 1)
				rest = substr(rest, index(rest, "`") + 1)
				while (match(two, /(doc|help|description):"[^"]*"/)) {
					strings = strings " " substr(two, RSTART, RLENGTH)
					two = substr(two, RSTART + RLENGTH)
				}
			} else raw = 1
		} else if (rest ~ /^"/) {
			if (!match(rest, /^"([^"\\]|\\.)*"/)) break
			strings = strings " . " substr(rest, 2, RLENGTH - 2)
			code = code "\"\""
			rest = substr(rest, RLENGTH + 1)
		} else if (match(rest, /^\047([^\047\\]|\\.)+\047/)) rest = substr(rest, RLENGTH + 1)
		else {
			code = code "\047"
			rest = substr(rest, 2)
		}
	}
	if (comment != "" && comment !~ /^ ?(go:|nolint|line |export |#nosec|Output:|Unordered output:)/) {
		prose(comment)
		long(s)
	}
	if (strings != "") prose(strings)
	if (code ~ /[A-Za-z})]/) declared(code)
}

function markdownLine(s,   t) {
	if (s ~ /^ *(```|~~~)/) {
		fence = !fence
		return
	}
	if (fence) return
	t = s
	gsub(/`[^`]*`/, "code", t)
	gsub(/\]\([^)]*\)/, "]", t)
	gsub(/<[^>]*>/, " ", t)
	prose(t)
	if (s !~ /^ *\|/ && s !~ /^\[[^]]*\]: / && s !~ /^ *[!<]/ && s !~ /^    +[^ ]*\$ /) long(s)
}

# commentLine reads the text after the mark of a comment in YAML, SQL, shell and make.
function commentLine(s, mark,   t) {
	if (!match(s, mark)) return
	t = substr(s, RSTART)
	if (t ~ /^[ \t]*#!/ || t ~ /\$#|#\{/) return
	prose(t)
	long(s)
}

# scriptLine reads a testscript: comments, and files below a line like "-- policy.yaml --".
function scriptLine(s) {
	if (s ~ /^-- .+ --$/) inner = s
	else if (inner == "") commentLine(s, "^ *#")
	else if (inner ~ /\.(md|ya?ml|sh) --$/ && match(s, /(^|[ \t])#/)) prose(substr(s, RSTART))
}

function read(   s, name, stem) {
	raw = block = fence = depth = imports = 0
	group = inner = ""
	name = file
	sub(/.*\//, "", name)
	stem = name
	sub(/(_test)?\.go$/, "", stem)
	for (line = 1; (getline s < file) > 0; line++) {
		sub(/\r$/, "", s)
		whole_line = s
		if (line < 20 && (s ~ /^(\/\/|#|--) Code generated .*DO NOT EDIT/ || file ~ /\.md$/ && s ~ /^<!--.*([Mm]ake generate|[Gg]enerated)/)) {
			generatedFiles++
			break
		}
		if (line == 1 && file ~ /\.go$/ && (stem in badFile)) report("file", name, "the standard term")
		if (file ~ /\.go$/) goLine(s)
		else if (file ~ /\.md$/) markdownLine(s)
		else if (file ~ /\.txtar$/) scriptLine(s)
		else commentLine(s, file ~ /\.sql$/ ? "--( |$)" : "(^|[ \t])#")
	}
	close(file)
}

# The lists

function readWords(   f, l) {
	while ((getline l < words) > 0) {
		if (l ~ /^(#|$)/) continue
		split(l, f, "\t")
		if (f[1] == "fine") fine[++fines] = " " f[2] " "
		else if (f[1] == "file") badFile[f[2]] = 1
		else if (f[1] == "ordinary") ordinary[f[2]] = 1
		else if (f[1] == "name" && f[3] ~ /^~/) partInstead[substr(f[3], 2)] = f[4]
		else if (f[1] == "name") {
			nameFolder[++names] = "(^|/)" (f[2] == "." ? "" : f[2])
			nameId[names] = f[3]
			nameInstead[names] = f[4]
		} else {
			patternKind[++patterns] = f[1]
			patternWord[patterns] = f[2]
			pattern[patterns] = " (" f[3] ") "
			patternInstead[patterns] = f[4]
			anyPattern = anyPattern (patterns > 1 ? "|" : "") pattern[patterns]
		}
	}
	close(words)
}

function glob(g) { # as a regular expression
	gsub(/[.+()^$\\{}|[]/, "\\\\&", g)
	gsub(/\*+/, ".*", g)
	gsub(/\?/, ".", g)
	return "^" g "$"
}

function readAllow(   l, i, reason) {
	file = ".plain-words-allow"
	for (line = 1; (getline l < file) > 0; line++) {
		if (l ~ /^[ \t]*(#|$)/) continue
		whole_line = l
		reason = ""
		if (match(l, /[ \t]#[ \t]*[^ \t]/)) {
			reason = substr(l, RSTART + 2)
			l = substr(l, 1, RSTART - 1)
		}
		gsub(/^[ \t]+|[ \t]+$/, "", l)
		i = index(l, ":")
		if (!i || reason == "") {
			count["allow"]++
			if (!quiet) printf "%s:%d: allow: GLOB: WORD # reason is wanted: %s\n", file, line, whole_line
			continue
		}
		allowAt[++allows] = line
		allowGlob[allows] = glob(substr(l, 1, i - 1))
		allowWord[allows] = substr(l, i + 1)
		gsub(/^[ \t]+/, "", allowWord[allows])
	}
	close(file)
}

BEGIN {
	url = "(https?|ldaps?|urn|spiffe):[^ ]*"
	readWords()
	readAllow()
	while ((getline key < (tmp "/lines")) > 0) added[key] = 1
	while ((getline file < (tmp "/files")) > 0) {
		files++
		read()
	}
	if (whole)
		for (i = 1; i <= allows; i++)
			if (!used[i]) {
				count["allow"]++
				if (!quiet) printf ".plain-words-allow:%d: allow: it matches nothing: %s\n", allowAt[i], allowWord[i]
			}
	exit summary() > 0
}
