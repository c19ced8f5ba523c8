# completion of plexus for bash; made from its command table
_plexus() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local path= words= options= files=0 i w
    for ((i = 1; i < COMP_CWORD; i++)); do
        w=${COMP_WORDS[i]}
        [[ $w == -* ]] && continue
        if [[ -z $path ]]; then path=$w
        elif [[ $path =~ ^(models|mesh|token|nodes|bus|flow|config|key|declassify)$ ]]; then path="$path $w"; fi
    done
    case "$prev" in
        --data) COMPREPLY=($(compgen -d -- "$cur")); return ;;
        --socket) COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --node) COMPREPLY=(); return ;;
    esac
    case "$path $prev" in
        "up --config" | "up -c") COMPREPLY=($(compgen -f -- "$cur")); return ;;
        "up --context") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "up --log-level") COMPREPLY=($(compgen -W "debug info warn error" -- "$cur")); return ;;
        "down --timeout" | "down -t") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "run --system" | "run -s") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "run --max-tokens") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "run --temperature" | "run -t") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "run --seed") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "logs --lines" | "logs -n") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "logs --level" | "logs -l") COMPREPLY=($(compgen -W "debug info warn error" -- "$cur")); return ;;
        "mesh init --domain") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "mesh init --listen" | "mesh init -l") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "mesh init --svid-ttl") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "mesh svid --audience" | "mesh svid -a") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "mesh svid --scopes" | "mesh svid -s") COMPREPLY=($(compgen -W "models read admin" -- "$cur")); return ;;
        "mesh svid --ttl") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "mesh svid --out" | "mesh svid -o") COMPREPLY=($(compgen -d -- "$cur")); return ;;
        "token new --ttl" | "token new -t") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "token new --role" | "token new -r") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "token new --clearance" | "token new -c") COMPREPLY=($(compgen -W "public internal confidential restricted" -- "$cur")); return ;;
        "token new --environment" | "token new -e") COMPREPLY=($(compgen -W "dev staging prod" -- "$cur")); return ;;
        "token new --name" | "token new -n") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "join --name" | "join -n") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "join --listen" | "join -l") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "resolve --kind" | "resolve -k") COMPREPLY=($(compgen -W "model engine service queue node chat completion embedding" -- "$cur")); return ;;
        "bus pub --label" | "bus pub -l") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bus pub --id") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bus pub --type" | "bus pub -t") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bus sub --queue" | "bus sub -q") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bus sub --durable" | "bus sub -d") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bus sub --from" | "bus sub -f") COMPREPLY=($(compgen -W "new start" -- "$cur")); return ;;
        "bus sub --count" | "bus sub -n") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bus tail --from" | "bus tail -f") COMPREPLY=($(compgen -W "new start" -- "$cur")); return ;;
        "bus tail --count" | "bus tail -n") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bus req --label" | "bus req -l") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bus req --timeout") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow run --input" | "flow run -i") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow run --id") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow run --label" | "flow run -l") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow ls --status" | "flow ls -s") COMPREPLY=($(compgen -W "pending running waiting suspended stalled completed faulted cancelled terminated" -- "$cur")); return ;;
        "flow ls --name") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow ls --namespace") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow ls --limit" | "flow ls -n") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow ls --after") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow history --from" | "flow history -f") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow signal --event-data" | "flow signal -d") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow signal --source") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow signal --subject") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow signal --event-id") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow event --event-data" | "flow event -d") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow event --source") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow event --subject") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow event --event-id") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow retry --reason" | "flow retry -r") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow skip --output" | "flow skip -o") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow skip --reason" | "flow skip -r") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow edit --input" | "flow edit -i") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow edit --reason" | "flow edit -r") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow pause --reason" | "flow pause -r") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow resume --reason" | "flow resume -r") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow cancel --reason" | "flow cancel -r") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow terminate --reason" | "flow terminate -r") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow reset --reason" | "flow reset -r") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "flow new --out" | "flow new -o") COMPREPLY=($(compgen -f -- "$cur")); return ;;
        "flow export --out" | "flow export -o") COMPREPLY=($(compgen -f -- "$cur")); return ;;
        "flow prune --older") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "worker --queue" | "worker -q") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "worker --config" | "worker -c") COMPREPLY=($(compgen -f -- "$cur")); return ;;
        "worker --context") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "worker --log-level") COMPREPLY=($(compgen -W "debug info warn error" -- "$cur")); return ;;
        "doctor --config" | "doctor -c") COMPREPLY=($(compgen -f -- "$cur")); return ;;
        "env --file" | "env -f") COMPREPLY=($(compgen -f -- "$cur")); return ;;
        "config check --config" | "config check -c") COMPREPLY=($(compgen -f -- "$cur")); return ;;
        "config show --config" | "config show -c") COMPREPLY=($(compgen -f -- "$cur")); return ;;
        "key new --scopes" | "key new -s") COMPREPLY=($(compgen -W "models read admin" -- "$cur")); return ;;
        "key new --models" | "key new -m") COMPREPLY=($(compgen -W "$(plexus models ls --quiet 2>/dev/null)" -- "$cur")); return ;;
        "key new --expires" | "key new -x") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "key new --clearance") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "key new --label") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "key new --requests-per-minute") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "key new --tokens-per-minute") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "declassify sign --key" | "declassify sign -k") COMPREPLY=($(compgen -f -- "$cur")); return ;;
        "declassify sign --who" | "declassify sign -w") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "declassify sign --from" | "declassify sign -f") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "declassify sign --to" | "declassify sign -t") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "declassify sign --reason" | "declassify sign -r") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "declassify sign --ttl") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bench --requests" | "bench -n") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bench --concurrency" | "bench -c") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bench --prompt" | "bench -p") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
        "bench --max-tokens") COMPREPLY=($(compgen -W "" -- "$cur")); return ;;
    esac
    case "$path" in
        "") words="up down ps top models run logs mesh token join nodes resolve bus flow worker detect doctor env config key declassify bench version help completion man"; options=" --version" ;;
        "up") words=""; options=" --config --context --daemon --log-level"; files=0 ;;
        "down") words=""; options=" --timeout --no-wait"; files=0 ;;
        "ps") words=""; options=" --all"; files=0 ;;
        "top") words=""; options=""; files=0 ;;
        "models") words="ls load unload pin unpin "; options=""; files=0 ;;
        "models ls") words=""; options=" --quiet"; files=0 ;;
        "models load") words="$(plexus models ls --quiet 2>/dev/null)"; options=" --no-wait"; files=0 ;;
        "models unload") words="$(plexus models ls --quiet 2>/dev/null)"; options=""; files=0 ;;
        "models pin") words="$(plexus models ls --quiet 2>/dev/null)"; options=""; files=0 ;;
        "models unpin") words="$(plexus models ls --quiet 2>/dev/null)"; options=""; files=0 ;;
        "run") words="$(plexus models ls --quiet 2>/dev/null)"; options=" --system --max-tokens --temperature --seed --verbose"; files=0 ;;
        "logs") words="$(plexus models ls --quiet 2>/dev/null)"; options=" --follow --lines --level"; files=0 ;;
        "mesh") words="init show leave svid standby "; options=""; files=0 ;;
        "mesh init") words=""; options=" --domain --listen --svid-ttl"; files=0 ;;
        "mesh show") words=""; options=""; files=0 ;;
        "mesh leave") words=""; options=""; files=0 ;;
        "mesh svid") words=""; options=" --jwt --audience --scopes --ttl --out"; files=0 ;;
        "mesh standby") words="$(plexus nodes ls --quiet 2>/dev/null)"; options=""; files=0 ;;
        "token") words="new ls rm "; options=""; files=0 ;;
        "token new") words=""; options=" --ttl --role --clearance --environment --name"; files=0 ;;
        "token ls") words=""; options=""; files=0 ;;
        "token rm") words=""; options=""; files=0 ;;
        "join") words=""; options=" --name --listen"; files=0 ;;
        "nodes") words="ls rm drain undrain "; options=" --watch --quiet"; files=0 ;;
        "nodes ls") words=""; options=" --watch --quiet"; files=0 ;;
        "nodes rm") words="$(plexus nodes ls --quiet 2>/dev/null)"; options=""; files=0 ;;
        "nodes drain") words="$(plexus nodes ls --quiet 2>/dev/null)"; options=""; files=0 ;;
        "nodes undrain") words="$(plexus nodes ls --quiet 2>/dev/null)"; options=""; files=0 ;;
        "resolve") words="$(plexus models ls --quiet 2>/dev/null)"; options=" --kind --explain"; files=0 ;;
        "bus") words="pub sub tail req "; options=""; files=0 ;;
        "bus pub") words=""; options=" --label --id --type --durable"; files=0 ;;
        "bus sub") words=""; options=" --queue --durable --from --count"; files=0 ;;
        "bus tail") words=""; options=" --from --count"; files=0 ;;
        "bus req") words=""; options=" --label --timeout"; files=0 ;;
        "flow") words="run ls show tail history signal event retry skip edit pause resume cancel terminate reset check new add docs rm export replay prune "; options=""; files=0 ;;
        "flow run") words=""; options=" --input --id --label --wait --detach"; files=1 ;;
        "flow ls") words=""; options=" --status --name --namespace --limit --after --quiet"; files=0 ;;
        "flow show") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --full"; files=0 ;;
        "flow tail") words="$(plexus flow ls --quiet 2>/dev/null)"; options=""; files=0 ;;
        "flow history") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --from"; files=0 ;;
        "flow signal") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --event-data --source --subject --event-id"; files=0 ;;
        "flow event") words=""; options=" --event-data --source --subject --event-id"; files=0 ;;
        "flow retry") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --reason"; files=0 ;;
        "flow skip") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --output --reason"; files=0 ;;
        "flow edit") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --input --reason"; files=0 ;;
        "flow pause") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --reason"; files=0 ;;
        "flow resume") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --reason"; files=0 ;;
        "flow cancel") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --reason"; files=0 ;;
        "flow terminate") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --reason"; files=0 ;;
        "flow reset") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --reason"; files=0 ;;
        "flow check") words=""; options=""; files=1 ;;
        "flow new") words=""; options=" --out"; files=0 ;;
        "flow add") words=""; options=""; files=1 ;;
        "flow docs") words=""; options=""; files=0 ;;
        "flow rm") words=""; options=""; files=0 ;;
        "flow export") words="$(plexus flow ls --quiet 2>/dev/null)"; options=" --out"; files=0 ;;
        "flow replay") words=""; options=""; files=1 ;;
        "flow prune") words=""; options=" --older --dry-run"; files=0 ;;
        "worker") words=""; options=" --queue --config --context --log-level"; files=0 ;;
        "detect") words=""; options=""; files=0 ;;
        "doctor") words=""; options=" --config --quiet"; files=0 ;;
        "env") words=""; options=" --file --print"; files=0 ;;
        "config") words="check show schema reload "; options=""; files=0 ;;
        "config check") words=""; options=" --config"; files=1 ;;
        "config show") words=""; options=" --config"; files=1 ;;
        "config schema") words=""; options=""; files=0 ;;
        "config reload") words=""; options=""; files=0 ;;
        "key") words="new ls rm "; options=""; files=0 ;;
        "key new") words=""; options=" --scopes --models --expires --clearance --label --requests-per-minute --tokens-per-minute"; files=0 ;;
        "key ls") words=""; options=""; files=0 ;;
        "key rm") words=""; options=""; files=0 ;;
        "declassify") words="key sign "; options=""; files=0 ;;
        "declassify key") words=""; options=""; files=1 ;;
        "declassify sign") words=""; options=" --key --who --from --to --reason --ttl"; files=1 ;;
        "bench") words="$(plexus models ls --quiet 2>/dev/null)"; options=" --requests --concurrency --prompt --max-tokens"; files=0 ;;
        "version") words=""; options=""; files=0 ;;
        "help") words="up down ps top models run logs mesh token join nodes resolve bus flow worker detect doctor env config key declassify bench version help completion man"; options=""; files=0 ;;
        "completion") words="bash zsh fish"; options=""; files=0 ;;
        "man") words=""; options=""; files=0 ;;
    esac
    if [[ $cur == -* ]]; then words="$options --json --data --socket --node --help"; fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    if [[ $files == 1 && $cur != -* ]]; then COMPREPLY+=($(compgen -f -- "$cur")); fi
}
complete -F _plexus plexus
