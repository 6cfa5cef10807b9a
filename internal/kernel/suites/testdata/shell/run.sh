#!/bin/sh
# run.sh: busybox's own tests, of its shell and of its commands. Says what the runner of the other suites says (runner.c).
# $1  busybox, the program
# $2  its source
# $3  where it runs, for the first line
# $4  an extended regular expression: the cases whose name matches run
source=$2 only=$4
work=/tmp/shell.$$
mkdir -p $work/bin $work/testsuite $work/cases || exit 1
trap 'rm -rf $work' EXIT
# It goes by the name by which it is called.
busybox=$work/busybox
ln -s "$1" $busybox
for command in $($busybox --list); do
	ln -s "$busybox" $work/bin/$command
done
ln -s "$busybox" $work/bin/ash 2>/dev/null
PATH=$work/bin
export PATH

# A guest has nothing but its application.
[ -e /bin ] || ln -s $work/bin /bin

# The tests ask which parts busybox has. All are said to be there: a test of one that is not fails everywhere.
grep -rhoE '(CONFIG_|optional )[A-Z0-9_ ]+' "$source/testsuite" "$source/shell/ash_test" |
	sed 's/^optional //; s/^CONFIG_//' | tr -s ' ' '\n' | grep . | sort -u | sed 's/.*/CONFIG_&=y/' >$work/.config
echo "runs shell $3"

# end NAME CODE FILE: what became of a case, and the end of what it wrote.
end() {
	case $2 in
	0) echo "end $1 pass 0"; return ;;
	143) echo "end $1 timeout 0" ;;
	*) echo "end $1 exit-$2 0" ;;
	esac
	tail -n 12 "$3" | tr -d '\r' | tr -c '\n -~' '?' | sed 's/^/| /'
}

# The shell's: a script, and what it must write. The helpers that they use are in C in the source.
cat >$work/bin/recho <<'EOF'
#!/bin/sh
n=0
for a; do
	n=$((n + 1))
	printf 'argv[%d] = <%s>\n' $n "$(printf '%s' "$a" | tr '\n' '\035' | cat -v | sed 's/\^]/^J/g')"
done
EOF
cat >$work/bin/zecho <<'EOF'
#!/bin/sh
IFS=' '
printf '%s\n' "$*"
EOF
cat >$work/bin/printenv <<'EOF'
#!/bin/sh
exec env
EOF
chmod +x $work/bin/recho $work/bin/zecho $work/bin/printenv
cp -r "$source"/shell/ash_test/* $work/cases
(
	while IFS= read -r line; do export "${line?}"; done <$work/.config
	THIS_SH=$work/bin/ash
	export THIS_SH
	cd $work/cases || exit 1
	for right in ash-*/*.right; do
		directory=${right%/*} name=${right##*/}
		name=${name%.right}
		[ -x "$directory/$name.tests" ] || continue
		echo "busybox/$directory/$name" | grep -qE "$only" || continue
		echo "start busybox/$directory/$name"
		(
			cd "$directory" || exit 1
			timeout 100 ash "./$name.tests" </dev/null >"$name.xx" 2>&1
			code=$?
			[ $code = 143 ] && exit 143
			diff -u "$name.xx" "$name.right"
		) >$work/out 2>&1
		end "busybox/$directory/$name" $? $work/out
	done
)

# The commands': all but bc's, minutes of arithmetic. They are scripts of testing.sh, and directories of one script a case. Their echo must be one that knows -ne.
ECHO="$busybox echo"
export ECHO
cp -r "$source"/testsuite $work
cd $work/testsuite || exit 1
for command in $($busybox --list); do
	[ $command != bc ] && { [ -e $command.tests ] || [ -d $command ]; } || continue
	echo "busybox/$command" | grep -qE "$only" || continue
	echo "start busybox/$command/all"
	timeout 300 sh ./runtest -v $command </dev/null >$work/out 2>&1
	code=$?
	[ $code = 143 ] && end "busybox/$command/all" 143 $work/out || echo "end busybox/$command/all pass 0"
	sed -n 's/^\(PASS\|FAIL\|SKIPPED\|UNTESTED\): /\1 /p' $work/out | tr -d '\r' | tr -c '\n -~' '?' |
		awk -v command=$command '{
			verdict = $1; sub(/^[A-Z]+ /, ""); gsub("[ /|]", "_")
			name = "busybox/" command "/" $0
			if (seen[name]++) name = name "_" seen[name]
			print "start " name
			print "end " name, verdict == "PASS" ? "pass" : verdict == "FAIL" ? "exit-1" : "skip", 0
		}'
done
echo done
