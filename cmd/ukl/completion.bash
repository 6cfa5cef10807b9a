# bash completion for ukl, printed by: ukl completion bash
_ukl() {
  local word about paths
  COMPREPLY=()
  while IFS=$'\t' read -r word about; do
    case $word in
      :program) paths=("$about") ;;
      :file) mapfile -t paths < <(compgen -f -- "$2") ;;
      :directory) mapfile -t paths < <(compgen -d -- "$2") ;;
      *) COMPREPLY+=("$word"); continue ;;
    esac
    COMPREPLY+=("${paths[@]}")
    compopt -o filenames -o default 2>/dev/null
  done < <("${1/#\~/$HOME}" "${COMP_WORDS[@]:1:COMP_CWORD}" --generate-bash-completion 2>/dev/null)
}
complete -F _ukl ukl
