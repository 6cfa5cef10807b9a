# links.awk: of the records of ld.sh, the object files of one file that was linked, with those of partial links in it.
# env  -v sum=SHA-256 -v code=SHA-256 -v file=PATH -v origins=FILE of origins.sh      in   records, the oldest first
# out  as linked.awk; nothing if no record fits
# why  a program may be copied after its link, or stripped: its content decides, then its code, then its path

# absolute PATH: without "." and ".."
function absolute(path, directory, part, n, i, m, kept) {
    if (path !~ /^\//) path = directory "/" path
    n = split(path, part, "/")
    m = 0
    for (i = 1; i <= n; i++) {
        if (part[i] == "" || part[i] == ".") continue
        if (part[i] == "..") { if (m > 0) m--; continue }
        kept[++m] = part[i]
    }
    path = ""
    for (i = 1; i <= m; i++) path = path "/" kept[i]
    return path
}

BEGIN {
    while (origins != "" && (getline line < origins) > 0) {
        content = substr(line, 1, index(line, " ") - 1)
        if (!(content in origin)) origin[content] = substr(line, length(content) + 2)
    }
}

FNR == 1 { hash[++link] = substr($0, 3); next }
FNR == 2 { text[link] = substr($0, 3); next }
FNR == 3 { name = substr($0, 3); next }
FNR == 4 {
    directory = substr($0, 3)
    name = absolute(name, directory)
    latest[name] = link
    if (hash[link] == sum) found = link
    if (text[link] == code && code != "none") same = link
    next
}
$1 == "#" { # it comes after the objects
    path = $0
    sub(/^# [^ ]* [^ ]* /, "", path)
    if ($2 in origin) from[link, path] = origin[$2]
    next
}
{
    path = substr($0, index($0, " ") + 1)
    member = ""
    if (match(path, /\([^()]*\)$/)) {
        member = substr(path, RSTART)
        path = substr(path, 1, RSTART - 1)
    }
    named[link] = named[link] path member "\n"
    objects[link] = objects[link] $1 " " absolute(path, directory) member "\n"
}

function list(link, n, line, i, path, name) {
    if (link in listed) return
    listed[link] = 1
    n = split(objects[link], line, "\n")
    split(named[link], name, "\n")
    for (i = 1; i < n; i++) {
        path = substr(line[i], index(line[i], " ") + 1)
        if (path in latest) list(latest[path])
        else if ((link, name[i]) in from) print substr(line[i], 1, index(line[i], " ")) from[link, name[i]]
        else print line[i]
    }
}
END {
    if (!found) found = same
    if (!found) found = latest[file]
    if (found) list(found)
}
