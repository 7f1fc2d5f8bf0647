"""What a job runs: the pod runner, which needs only Python 3.9 and its standard library.

The plugin puts this package as one file, `runner.pyz`, into a job's folder; the job runs it as its
account:

    python3 runner.pyz run FOLDER     run the pod, leave when it has ended (a batch job does this)
    python3 runner.pyz start FOLDER   the same in the background, as a session of its own; JSON on
                                      stdin is the environment, the answer is the file `started`
    python3 runner.pyz kill FOLDER    end the pod whatever its state; it can never start afterwards;
                                      JSON on stdin: uid, grace (seconds), mark (as in `started`)

In the folder: `pod.json` says what to run, `env/` holds the environments, `started` is made once by
whichever runner is first (so no pod runs twice), `status.json` says how the containers are,
`logs/NAME.log` is a container's output and `logs/NAME.times` says when it grew.
"""
