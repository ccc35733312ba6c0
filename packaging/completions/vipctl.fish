# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_vipctl_global_optspecs
    string join \n h/help V/version
end

function __fish_vipctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_vipctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_vipctl_using_subcommand
    set -l cmd (__fish_vipctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c vipctl -n "__fish_vipctl_needs_command" -s h -l help -d 'Print help'
complete -c vipctl -n "__fish_vipctl_needs_command" -s V -l version -d 'Print version'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "handover" -d 'Move an instance\'s addresses from this node to another one, without a gap'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "serve" -d 'Serve metrics, health and a status page over HTTP, until it is killed'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l socket -d 'The control socket of vipd [default: control.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l timeout -d 'How long to wait for the answer' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l json -d 'Write vipd\'s answer as it is: one JSON object, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vipctl -n "__fish_vipctl_using_subcommand serve" -l listen -d 'Where to listen; can be given several times. \'[::]:10112\' takes IPv4 and IPv6' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand serve" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from handover serve help" -f -a "handover" -d 'Move an instance\'s addresses from this node to another one, without a gap'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from handover serve help" -f -a "serve" -d 'Serve metrics, health and a status page over HTTP, until it is killed'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from handover serve help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
