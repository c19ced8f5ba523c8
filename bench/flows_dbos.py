# flows_dbos.py: the same steps on DBOS: 256 workflows, each of whose steps does nothing and is kept before the next one. Run by
# flows_others.py with a Python that has dbos: flows_dbos.py POSTGRES_URL SECONDS; prints steps a second.
# SPDX-License-Identifier: Apache-2.0
import asyncio
import sys
import time

from dbos import DBOS

FLOWS = 256
over = False
steps = 0


@DBOS.step()
async def step():
    global steps
    steps += 1
    return 1


@DBOS.workflow()
async def goes_round():
    while not over:
        await step()


async def main(seconds):
    global over, steps
    handles = [await DBOS.start_workflow_async(goes_round) for _ in range(FLOWS)]
    await asyncio.sleep(2)
    steps, begin = 0, time.monotonic()
    await asyncio.sleep(seconds)
    rate = steps / (time.monotonic() - begin)
    over = True
    for handle in handles:
        await handle.get_result()
    print(f"{rate:.1f}", flush=True)


if __name__ == "__main__":
    DBOS(config={"name": "bench", "system_database_url": sys.argv[1], "run_admin_server": False, "log_level": "ERROR"})
    DBOS.launch()
    asyncio.run(main(float(sys.argv[2])))
    DBOS.destroy()
