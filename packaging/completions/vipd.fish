# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_vipd_global_optspecs
    string join \n h/help V/version
end

function __fish_vipd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_vipd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_vipd_using_subcommand
    set -l cmd (__fish_vipd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c vipd -n "__fish_vipd_needs_command" -s h -l help -d 'Print help'
complete -c vipd -n "__fish_vipd_needs_command" -s V -l version -d 'Print version'
complete -c vipd -n "__fish_vipd_needs_command" -f -a "run" -d 'Run the agent in the foreground until SIGTERM or SIGINT'
complete -c vipd -n "__fish_vipd_needs_command" -f -a "release" -d 'Remove what a dead agent has left on this system, and tell the other nodes'
complete -c vipd -n "__fish_vipd_needs_command" -f -a "check" -d 'Say whether a configuration is valid, or everything that is wrong with it'
complete -c vipd -n "__fish_vipd_needs_command" -f -a "replay" -d 'Hand a recording\'s inputs to a fresh engine and compare its answers'
complete -c vipd -n "__fish_vipd_needs_command" -f -a "demo" -d 'Show a failover on this machine: two nodes and a client in network namespaces'
complete -c vipd -n "__fish_vipd_needs_command" -f -a "demo-host" -d 'A process inside the demo\'s namespaces'
complete -c vipd -n "__fish_vipd_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vipd -n "__fish_vipd_using_subcommand run" -l config -d 'The configuration' -r -F
complete -c vipd -n "__fish_vipd_using_subcommand run" -l record -d 'Write every input and the engine\'s answers to FILE as JSON lines, for `vipd replay`' -r -F
complete -c vipd -n "__fish_vipd_using_subcommand run" -l runtime-directory -d 'Where the agent\'s lock is and what it has written down [default: what systemd says in `$RUNTIME_DIRECTORY`, else /run/vipd]' -r -F
complete -c vipd -n "__fish_vipd_using_subcommand run" -l state-directory -d 'Where what is on standby is kept over restarts and reboots [default: what systemd says in `$STATE_DIRECTORY`, else /var/lib/vipd]' -r -F
complete -c vipd -n "__fish_vipd_using_subcommand run" -s h -l help -d 'Print help'
complete -c vipd -n "__fish_vipd_using_subcommand release" -l runtime-directory -d 'Where the agent\'s lock is and what it has written down [default: what systemd says in `$RUNTIME_DIRECTORY`, else /run/vipd]' -r -F
complete -c vipd -n "__fish_vipd_using_subcommand release" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vipd -n "__fish_vipd_using_subcommand check" -l node -d 'Check it as this node of its list would see it, not as this machine does' -r
complete -c vipd -n "__fish_vipd_using_subcommand check" -l json -d 'Answer with one JSON object'
complete -c vipd -n "__fish_vipd_using_subcommand check" -s h -l help -d 'Print help'
complete -c vipd -n "__fish_vipd_using_subcommand replay" -s h -l help -d 'Print help'
complete -c vipd -n "__fish_vipd_using_subcommand demo" -s h -l help -d 'Print help'
complete -c vipd -n "__fish_vipd_using_subcommand demo-host" -l parent -d 'The process ID of the demo' -r
complete -c vipd -n "__fish_vipd_using_subcommand demo-host" -s h -l help -d 'Print help'
complete -c vipd -n "__fish_vipd_using_subcommand help; and not __fish_seen_subcommand_from run release check replay demo demo-host help" -f -a "run" -d 'Run the agent in the foreground until SIGTERM or SIGINT'
complete -c vipd -n "__fish_vipd_using_subcommand help; and not __fish_seen_subcommand_from run release check replay demo demo-host help" -f -a "release" -d 'Remove what a dead agent has left on this system, and tell the other nodes'
complete -c vipd -n "__fish_vipd_using_subcommand help; and not __fish_seen_subcommand_from run release check replay demo demo-host help" -f -a "check" -d 'Say whether a configuration is valid, or everything that is wrong with it'
complete -c vipd -n "__fish_vipd_using_subcommand help; and not __fish_seen_subcommand_from run release check replay demo demo-host help" -f -a "replay" -d 'Hand a recording\'s inputs to a fresh engine and compare its answers'
complete -c vipd -n "__fish_vipd_using_subcommand help; and not __fish_seen_subcommand_from run release check replay demo demo-host help" -f -a "demo" -d 'Show a failover on this machine: two nodes and a client in network namespaces'
complete -c vipd -n "__fish_vipd_using_subcommand help; and not __fish_seen_subcommand_from run release check replay demo demo-host help" -f -a "demo-host" -d 'A process inside the demo\'s namespaces'
complete -c vipd -n "__fish_vipd_using_subcommand help; and not __fish_seen_subcommand_from run release check replay demo demo-host help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
