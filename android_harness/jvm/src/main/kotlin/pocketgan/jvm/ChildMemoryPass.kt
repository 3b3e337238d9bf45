package pocketgan.jvm

import java.nio.file.Files
import java.nio.file.Paths
import java.util.concurrent.TimeUnit
import kotlinx.serialization.Serializable
import kotlinx.serialization.encodeToString
import kotlinx.serialization.json.Json
import pocketgan.measure.Engine
import pocketgan.measure.MemoryPass
import pocketgan.measure.RefusedException
import pocketgan.measure.Work
import pocketgan.measure.measureMemory
import pocketgan.schema.Job
import pocketgan.schema.Memory

private const val LONGEST_S = 300L

/** A process that a signal ended has this and the signal's number as its exit code, as Java tells it. */
private const val SIGNALLED = 128

/** What the child is asked, on its standard input: its arguments would be in what ONNX Runtime parses. */
@Serializable
private class MemoryQuestion(val bundle: String, val job: Job)

/** Memory of a JVM of its own, started with [arguments]. */
internal class ChildMemoryPass(private val arguments: List<String> = listOf("memory")) : MemoryPass {
    override fun measure(work: Work): Memory? {
        val java = Paths.get(System.getProperty("java.home"), "bin", "java")
        val options = listOf("-XX:+UseSerialGC", "-XX:+SuppressFatalErrorMessage")
        val command = listOf("$java") + options + listOf("-cp", System.getProperty("java.class.path"), MAIN)
        // A file, so that a child that hangs keeps nobody waiting at its pipe.
        val answer = Files.createTempFile("memory", ".json")
        val child = ProcessBuilder(command + arguments)
            .redirectOutput(answer.toFile())
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start()
        try {
            child.outputStream.use { it.write(Json.encodeToString(question(work)).toByteArray()) }
            if (!child.waitFor(LONGEST_S, TimeUnit.SECONDS)) return null
            return memoryIn(child.exitValue(), Files.readAllLines(answer))
        } finally {
            child.destroyForcibly()
            Files.delete(answer)
        }
    }

    private fun question(work: Work) = MemoryQuestion("${work.bundle.path}", work.job)

    private companion object {
        const val MAIN = "pocketgan.jvm.MainKt"
    }
}

/**
 * What a child came to that ended with [exitCode] and left [lines].
 *
 * @throws RefusedException it was killed by a signal, as loading the model here would end this process.
 */
internal fun memoryIn(exitCode: Int, lines: List<String>): Memory? {
    if (exitCode > SIGNALLED) {
        throw RefusedException("the model killed the process that ran it (signal ${exitCode - SIGNALLED})")
    }
    // What else is there, the runtime printed.
    return lines.firstOrNull { exitCode == 0 && it.startsWith("{") }?.let { Json.decodeFromString<Memory>(it) }
}

/** The child: one question in, its memory as a line of JSON out; nothing where it cannot be known. */
internal fun answerMemory(question: String, engines: List<Engine>) {
    val asked = Json.decodeFromString<MemoryQuestion>(question)
    measureMemory(Paths.get(asked.bundle), asked.job, engines)?.let { println(Json.encodeToString(it)) }
}
