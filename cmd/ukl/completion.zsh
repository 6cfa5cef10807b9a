#compdef ukl
# zsh completion for ukl, printed by: ukl completion zsh
_ukl() {
  local line about program=${(Q)words[1]} none=1
  local -a asked offers files
  asked=("${(@Q)words[2,CURRENT]}" --generate-bash-completion)
  compset -P '-*='
  for line in "${(@f)$(${~program} "${(@)asked}" 2>/dev/null)}"; do
    about=${line#*$'\t'}
    case $line in
      '') ;;
      :file) _files && none=0 ;;
      :directory) _path_files -/ && none=0 ;;
      :program*) files+=("${(b)about:t}") ;;
      *) offers+=("${${line%%$'\t'*}//:/\\:}${${line:#$about}:+:$about}") ;;
    esac
  done
  (( $#files )) && _path_files -g "(${(j:|:)files}|)" && none=0
  (( $#offers )) && _describe ukl offers && none=0
  return $none
}
if [[ $funcstack[1] == _ukl ]]; then _ukl "$@"; else compdef _ukl ukl; fi
