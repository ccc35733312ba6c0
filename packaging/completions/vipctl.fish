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
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "doctor" -d 'Look for what goes wrong in the field, and say how to mend it'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "init" -d 'Write a first configuration'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "keygen" -d 'Make a random key for the authentication of advertisements'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l socket -d 'The control socket of vipd [default: control.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l timeout -d 'How long to wait for the answer' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l json -d 'Write vipd\'s answer as it is: one JSON object, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vipctl -n "__fish_vipctl_using_subcommand doctor" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand doctor" -l listen -d 'How long to listen to the wire [default: two and a half advertisement intervals, 1.5 to 10 s]' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand doctor" -l root -d 'Where to look for other programs\' files (/etc, /run, /usr/lib, /sys)' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand doctor" -l json -d 'Write one JSON object: `healthy`, `findings`, `left_out`'
complete -c vipctl -n "__fish_vipctl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vipctl -n "__fish_vipctl_using_subcommand init" -l interface -d 'The interface of the segment [default: the only one with an address]' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand init" -l node -d 'Another node: its name and own address. Again for each one more' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand init" -l address -d 'An address that is to move, with its prefix length. Again for each one more' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand init" -l name -d 'The instance\'s name [default: web]' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand init" -l virtual-router-id -d 'The virtual router ID [default: one that nobody on the segment uses]' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand init" -l listen -d 'How long to listen for others\' virtual routers; 0: not at all' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand init" -l output -d 'Where to write the configuration; `-`: to standard output' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand init" -l yes -d 'Ask nothing: take the options and the defaults'
complete -c vipctl -n "__fish_vipctl_using_subcommand init" -l force -d 'Replace a file that is there, or take an ID that another group uses'
complete -c vipctl -n "__fish_vipctl_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vipctl -n "__fish_vipctl_using_subcommand keygen" -l bytes -d 'How many random bytes' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand keygen" -l output -d 'A new file for the key, with mode 0600 [default: standard output]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand keygen" -s h -l help -d 'Print help'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from handover doctor init keygen help" -f -a "handover" -d 'Move an instance\'s addresses from this node to another one, without a gap'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from handover doctor init keygen help" -f -a "doctor" -d 'Look for what goes wrong in the field, and say how to mend it'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from handover doctor init keygen help" -f -a "init" -d 'Write a first configuration'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from handover doctor init keygen help" -f -a "keygen" -d 'Make a random key for the authentication of advertisements'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from handover doctor init keygen help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
