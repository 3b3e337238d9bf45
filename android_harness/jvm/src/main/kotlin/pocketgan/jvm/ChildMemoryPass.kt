package pocketgan.jvm

import java.nio.file.Path
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

/** What the child is asked, on its standard input: its arguments would be in what ONNX Runtime parses. */
@Serializable
private class MemoryQuestion(val bundle: String, val job: Job)

/** Memory of a JVM of its own, which [MainKt] starts again with [arguments]. */
internal class ChildMemoryPass(private val arguments: List<String> = listOf("memory")) : MemoryPass {
    override fun measure(work: Work): Memory? {
        val java = Paths.get(System.getProperty("java.home"), "bin", "java")
        val command = listOf("$java", "-XX:+UseSerialGC", "-cp", System.getProperty("java.class.path"))
        val child = ProcessBuilder(command + "pocketgan.jvm.MainKt" + arguments)
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start()
        try {
            child.outputStream.use { it.write(Json.encodeToString(question(work)).toByteArray()) }
            val answer = child.inputStream.bufferedReader().readText().lines().firstOrNull { it.startsWith("{") }
            if (!child.waitFor(LONGEST_S, TimeUnit.SECONDS)) return null
            // Above 128: ended by a signal, as loading the model here would end this process.
            if (child.exitValue() > SIGNALLED) throw RefusedException(killed(child.exitValue() - SIGNALLED))
            return answer?.let { Json.decodeFromString<Memory>(it) }
        } finally {
            child.destroyForcibly()
        }
    }

    private fun question(work: Work) = MemoryQuestion("${work.bundle.path}", work.job)

    private fun killed(signal: Int) = "the model killed the process that ran it (signal $signal)"

    private companion object {
        const val SIGNALLED = 128
    }
}

/** The child: one question in, its memory as a line of JSON out; nothing where it cannot be known. */
internal fun answerMemory(question: String, engines: List<Engine>) {
    val asked = Json.decodeFromString<MemoryQuestion>(question)
    measureMemory(path(asked), asked.job, engines)?.let { println(Json.encodeToString(it)) }
}

private fun path(asked: MemoryQuestion): Path = Paths.get(asked.bundle)
