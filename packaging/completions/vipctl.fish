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
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "status" -d 'Show who has the addresses, and what is wrong'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "watch" -d 'Show the same all the time; on a pipe, a line for each change'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "explain" -d 'Explain why an instance is in its state, and what it would do next'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "peers" -d 'Show every router that is heard for our virtual routers, also those that should not be there'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "events" -d 'Show what happened last: the lines of the log'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "handover" -d 'Move an instance\'s addresses from this node to another one, without a gap'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "standby" -d 'Take an instance, or this node, out of the election until `vipctl online`'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "online" -d 'Put an instance, or this node, back into the election'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "reload" -d 'Have vipd read its configuration again, or only show what that would change'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "check" -d 'Say whether a configuration is valid, or everything that is wrong with it, as `vipd check`'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "probe" -d 'Have vipd look once at what a check is about, and show what it finds'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "doctor" -d 'Look for what goes wrong in the field, and say how to mend it'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "init" -d 'Write a first configuration'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "keygen" -d 'Make a random key for the authentication of advertisements'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "serve" -d 'Serve metrics, health and a status page over HTTP, until it is killed'
complete -c vipctl -n "__fish_vipctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vipctl -n "__fish_vipctl_using_subcommand status" -l socket -d 'The status socket of vipd [default: status.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand status" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand status" -l active -d 'Exit with 3 where it is not active here; without a name: where any instance is not'
complete -c vipctl -n "__fish_vipctl_using_subcommand status" -l check -d 'Exit with 4 where anything is wrong'
complete -c vipctl -n "__fish_vipctl_using_subcommand status" -s q -l quiet -d 'Write nothing: the exit code says it'
complete -c vipctl -n "__fish_vipctl_using_subcommand status" -l json -d 'Write what vipd says as it is: JSON, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vipctl -n "__fish_vipctl_using_subcommand watch" -l interval -d 'How often to look, in milliseconds' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand watch" -l socket -d 'The status socket of vipd [default: status.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand watch" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand watch" -l json -d 'Write what vipd says as it is: JSON, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand watch" -s h -l help -d 'Print help'
complete -c vipctl -n "__fish_vipctl_using_subcommand explain" -l socket -d 'The status socket of vipd [default: status.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand explain" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand explain" -l json -d 'Write what vipd says as it is: JSON, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand explain" -s h -l help -d 'Print help'
complete -c vipctl -n "__fish_vipctl_using_subcommand peers" -l socket -d 'The status socket of vipd [default: status.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand peers" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand peers" -l json -d 'Write what vipd says as it is: JSON, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand peers" -s h -l help -d 'Print help'
complete -c vipctl -n "__fish_vipctl_using_subcommand events" -s n -l lines -d 'Begin with so many of the last ones [default: all that vipd remembers]' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand events" -l socket -d 'The status socket of vipd [default: status.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand events" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand events" -s f -l follow -d 'Go on with what happens from now on, also over a restart of vipd'
complete -c vipctl -n "__fish_vipctl_using_subcommand events" -l json -d 'Write what vipd says as it is: JSON, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand events" -s h -l help -d 'Print help'
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l socket -d 'The control socket of vipd [default: control.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l timeout -d 'How long to wait for the answer' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -l json -d 'Write vipd\'s answer as it is: one JSON object, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand handover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vipctl -n "__fish_vipctl_using_subcommand standby" -l socket -d 'The control socket of vipd [default: control.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand standby" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand standby" -l timeout -d 'How long to wait for the answer' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand standby" -l force -d 'Give up addresses that no other node takes over, too'
complete -c vipctl -n "__fish_vipctl_using_subcommand standby" -l json -d 'Write vipd\'s answer as it is: one JSON object, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand standby" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vipctl -n "__fish_vipctl_using_subcommand online" -l socket -d 'The control socket of vipd [default: control.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand online" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand online" -l timeout -d 'How long to wait for the answer' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand online" -l json -d 'Write vipd\'s answer as it is: one JSON object, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand online" -s h -l help -d 'Print help'
complete -c vipctl -n "__fish_vipctl_using_subcommand reload" -l socket -d 'The control socket of vipd [default: control.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand reload" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand reload" -l timeout -d 'How long to wait for the answer' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand reload" -l dry-run -d 'Only show what would change'
complete -c vipctl -n "__fish_vipctl_using_subcommand reload" -l json -d 'Write vipd\'s answer as it is: one JSON object, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vipctl -n "__fish_vipctl_using_subcommand check" -l node -d 'Check it as this node of its list would see it, not as this machine does' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand check" -l json -d 'Answer with one JSON object'
complete -c vipctl -n "__fish_vipctl_using_subcommand check" -s h -l help -d 'Print help'
complete -c vipctl -n "__fish_vipctl_using_subcommand probe" -l socket -d 'The control socket of vipd [default: control.sock in the runtime directory]' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand probe" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand probe" -l timeout -d 'How long to wait for the answer' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand probe" -l json -d 'Write vipd\'s answer as it is: one JSON object, lengths of time in nanoseconds'
complete -c vipctl -n "__fish_vipctl_using_subcommand probe" -s h -l help -d 'Print help (see more with \'--help\')'
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
complete -c vipctl -n "__fish_vipctl_using_subcommand serve" -l listen -d 'Where to listen; can be given several times. \'[::]:10112\' takes IPv4 and IPv6' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand serve" -l host-name -d 'A name by which browsers ask for it; can be given several times. Addresses and localhost are always answered, other names are not' -r
complete -c vipctl -n "__fish_vipctl_using_subcommand serve" -l runtime-directory -d 'The runtime directory of vipd' -r -F
complete -c vipctl -n "__fish_vipctl_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "status" -d 'Show who has the addresses, and what is wrong'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "watch" -d 'Show the same all the time; on a pipe, a line for each change'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "explain" -d 'Explain why an instance is in its state, and what it would do next'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "peers" -d 'Show every router that is heard for our virtual routers, also those that should not be there'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "events" -d 'Show what happened last: the lines of the log'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "handover" -d 'Move an instance\'s addresses from this node to another one, without a gap'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "standby" -d 'Take an instance, or this node, out of the election until `vipctl online`'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "online" -d 'Put an instance, or this node, back into the election'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "reload" -d 'Have vipd read its configuration again, or only show what that would change'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "check" -d 'Say whether a configuration is valid, or everything that is wrong with it, as `vipd check`'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "probe" -d 'Have vipd look once at what a check is about, and show what it finds'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "doctor" -d 'Look for what goes wrong in the field, and say how to mend it'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "init" -d 'Write a first configuration'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "keygen" -d 'Make a random key for the authentication of advertisements'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "serve" -d 'Serve metrics, health and a status page over HTTP, until it is killed'
complete -c vipctl -n "__fish_vipctl_using_subcommand help; and not __fish_seen_subcommand_from status watch explain peers events handover standby online reload check probe doctor init keygen serve help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
