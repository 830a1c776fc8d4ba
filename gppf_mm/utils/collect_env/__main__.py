"""Print the versions that a bug report needs, one per line."""

from gppf_mm.utils.collect_env import collect_env

if __name__ == "__main__":
    for name, value in collect_env().items():
        print(f"{name}: {value}")
