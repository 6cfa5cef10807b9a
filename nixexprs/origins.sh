# origins.sh: of the object files that links took from the build's own directory, those that a package of the tree has.
# Commands may unpack a library, and link its objects or put them into an archive of their own: equal content has one
# origin.
# in   $1  directory with the records of ld.sh      $2  directory with the packages' libraries
# out  "SHA-256 ARCHIVE(MEMBER)" or "SHA-256 FILE"; nothing of an object that no package has
# why  only a member of the right size is read: a tree has thousands of them

scratch=$(mktemp -d)
find "$1" -type f -exec sed -n 's/^# \([0-9a-f]*\) \([0-9]*\) .*/\2 \1/p' {} + | sort -u >"$scratch/wanted"

# wanted SHA-256: an object of a record has this content
wanted() { grep -q " $1\$" "$scratch/wanted"; }

[ ! -s "$scratch/wanted" ] || find "$2" -type f \( -name '*.a' -o -name '*.o' \) | LC_ALL=C sort |
    while IFS= read -r file; do
        case $file in
        *.o)
            grep -q "^$(wc -c <"$file") " "$scratch/wanted" || continue
            sum=$(sha256sum <"$file")
            ! wanted "${sum%% *}" || printf '%s %s\n' "${sum%% *}" "$file"
            continue
            ;;
        esac
        # A text file that stands for an archive has no members.
        ar tv "$file" 2>/dev/null | awk 'NR == FNR { size[$1]; next } $3 in size { print $NF }' "$scratch/wanted" - |
            sort -u | while IFS= read -r member; do
                sum=$(ar p "$file" "$member" | sha256sum)
                ! wanted "${sum%% *}" || printf '%s %s(%s)\n' "${sum%% *}" "$file" "$member"
            done
    done
rm -r "$scratch"
