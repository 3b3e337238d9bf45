package pocketgan.app

import android.app.Service
import android.content.Intent
import android.os.Bundle
import android.os.Handler
import android.os.IBinder
import android.os.Looper
import android.os.Message
import android.os.Messenger
import android.os.Process
import android.os.RemoteException
import android.util.Log
import java.nio.file.Paths
import pocketgan.measure.measureMemory
import pocketgan.schema.Memory
import pocketgan.schema.readJob

/** What is asked of it: the folder of an unpacked bundle, and a Job about it as JSON. */
internal const val QUESTION_BUNDLE = "bundle"
internal const val QUESTION_JOB = "job"

private const val ANSWER_RUNTIME = "runtime_bytes"
private const val ANSWER_PEAK = "peak_bytes"

/**
 * Measures the memory of one model in a process of its own (`android:process`), which ends with it: Android starts
 * another one for the next.
 */
internal class MemoryService : Service() {
    private val messenger = Messenger(Handler(Looper.getMainLooper(), ::asked))

    override fun onBind(intent: Intent?): IBinder = messenger.binder

    override fun onDestroy() {
        super.onDestroy()
        // Its peak is what one model took; the next one's must not begin there.
        Process.killProcess(Process.myPid())
    }

    private fun asked(question: Message): Boolean {
        // The message is used again once this returns.
        val (data, replyTo) = question.data to question.replyTo
        Thread(null, { answer(replyTo, data) }, "memory", STACK_BYTES).start()
        return true
    }

    private fun answer(replyTo: Messenger, question: Bundle) {
        try {
            replyTo.send(Message.obtain().apply { data = asAnswer(measured(question)) })
        } catch (gone: RemoteException) {
            Log.w(LOG_TAG, "nobody waits for the memory any more")
        }
    }

    /** Null where it cannot be known. What is wrong with the model, the frames will tell. */
    private fun measured(question: Bundle): Memory? =
        try {
            val job = readJob(question.getString(QUESTION_JOB)!!)
            measureMemory(Paths.get(question.getString(QUESTION_BUNDLE)!!), job, engines())
        } catch (problem: Exception) {
            null.also { Log.w(LOG_TAG, "memory: ${problem.message}") }
        } catch (problem: LinkageError) {
            null.also { Log.w(LOG_TAG, "memory: ${problem.message}") }
        } catch (problem: OutOfMemoryError) {
            null.also { Log.w(LOG_TAG, "memory: ${problem.message}") }
        }
}

private fun asAnswer(memory: Memory?) = Bundle().apply {
    if (memory == null) return@apply
    putLong(ANSWER_RUNTIME, memory.runtimeBytes)
    putLong(ANSWER_PEAK, memory.peakBytes)
}

/** What a [MemoryService] answered. */
internal fun memoryIn(answer: Bundle): Memory? =
    if (!answer.containsKey(ANSWER_PEAK)) null else Memory(answer.getLong(ANSWER_RUNTIME), answer.getLong(ANSWER_PEAK))
