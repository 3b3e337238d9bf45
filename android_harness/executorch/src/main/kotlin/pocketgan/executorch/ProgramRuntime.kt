package pocketgan.executorch

import java.io.Closeable
import java.nio.ByteBuffer
import java.nio.file.Path
import pocketgan.bundle.DType
import pocketgan.measure.Tensor

/** What is used of ExecuTorch, whose classes load libraries that only Android can; tests have one of their own. */
internal interface ProgramRuntime {
    /** Load its libraries. */
    fun start()

    /** Names of the backends that this build of it has. */
    fun registeredBackends(): List<String>

    /** Open a `.pte`, whose operators are to run on [threads] threads; nothing of it is prepared yet. */
    fun open(file: Path, threads: Int): Program
}

/** An open `.pte`. */
internal interface Program : Closeable {
    /** Names of the backends that its method calls. */
    fun backends(): List<String>

    /** Prepare its method: backends compile or unpack what they were given. */
    fun prepare()

    /** Run its method. The outputs are its own memory until the next call. */
    fun forward(inputs: List<Tensor>): List<ProgramOutput>
}

/** An output where the program left it. */
internal class ProgramOutput(val dtype: DType, val shape: LongArray, val copyTo: (ByteBuffer) -> Unit)
