# fish completion for ukl, printed by: ukl completion fish
function __ukl_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l option (string match -r -- '^-[^=]*=' "$word") # its value follows
    set -l value (string replace -- "$option" '' "$word")
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -e words[1]
    for offer in (command $program $words "$word" --generate-bash-completion 2>/dev/null)
        switch $offer
            case :file
                printf '%s\n' "$option"(__fish_complete_path "$value")
            case :directory
                printf '%s\n' "$option"(__fish_complete_directories "$value")
            case ':program*'
                printf '%s\n' "$option"(string split -f 2 \t -- $offer)
            case '*'
                printf '%s\n' "$option$offer"
        end
    end
end
complete -c ukl -f -a '(__ukl_complete)'
