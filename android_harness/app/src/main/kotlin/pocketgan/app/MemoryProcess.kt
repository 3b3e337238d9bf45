package pocketgan.app

import android.content.ComponentName
import android.content.Context
import android.content.Intent
import android.content.ServiceConnection
import android.os.Binder
import android.os.Bundle
import android.os.Handler
import android.os.IBinder
import android.os.Looper
import android.os.Message
import android.os.Messenger
import android.os.RemoteException
import java.util.concurrent.CountDownLatch
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import pocketgan.json.MODEL_JSON
import pocketgan.measure.MemoryPass
import pocketgan.measure.RefusedException
import pocketgan.measure.Work
import pocketgan.schema.Job
import pocketgan.schema.Memory

/** Android starts a process in a second; where it does not come, there is no memory to tell. */
private const val LONGEST_START_S = 20L
private const val LONGEST_S = 300L
private const val LONGEST_END_S = 5L

/** Has a [MemoryService] measure. Not to be used on the main thread, which hears its answers. */
internal class MemoryProcess(private val context: Context) : MemoryPass {
    override fun measure(work: Work): Memory? {
        val question = Bundle().apply {
            putString(QUESTION_BUNDLE, "${work.bundle.path}")
            putString(QUESTION_JOB, MODEL_JSON.encodeToString(Job.serializer(), work.job))
        }
        val conversation = Conversation(question)
        // As important as the frames: Android ends what is not when memory is short.
        val flags = Context.BIND_AUTO_CREATE or Context.BIND_IMPORTANT
        try {
            if (!context.bindService(Intent(context, MemoryService::class.java), conversation, flags)) return null
            return conversation.await()
        } finally {
            context.unbindService(conversation)
            conversation.awaitEnd()
        }
    }
}

private class Conversation(private val question: Bundle) : ServiceConnection {
    private class Outcome(val memory: Memory?, val died: Boolean = false)

    private val outcomes = LinkedBlockingQueue<Outcome>()
    private val started = CountDownLatch(1)
    private val ended = CountDownLatch(1)
    private var asked = false

    /** Whether there is another process that can end. */
    @Volatile
    private var isElsewhere = false

    override fun onServiceConnected(name: ComponentName?, binder: IBinder?) {
        // Android starts it once more where it died; nothing is asked of that one.
        if (asked) return
        asked = true
        started.countDown()
        try {
            binder!!.linkToDeath({ ended.countDown() }, 0)
            isElsewhere = binder !is Binder
            val answers = Handler(Looper.getMainLooper()) { outcomes.add(Outcome(memoryIn(it.data))) }
            Messenger(binder).send(
                Message.obtain().apply {
                    data = question
                    replyTo = Messenger(answers)
                },
            )
        } catch (gone: RemoteException) {
            onServiceDisconnected(name)
        }
    }

    override fun onServiceDisconnected(name: ComponentName?) {
        outcomes.add(Outcome(null, died = true))
    }

    /** @throws RefusedException the process died, as this one would. */
    fun await(): Memory? {
        if (!started.await(LONGEST_START_S, TimeUnit.SECONDS)) return null
        val outcome = outcomes.poll(LONGEST_S, TimeUnit.SECONDS) ?: return null
        if (!outcome.died) return outcome.memory
        throw RefusedException("the model killed the process that ran it, which measured its memory; logcat tells why")
    }

    /** The next one must not be bound to a process that is about to end. */
    fun awaitEnd() {
        if (isElsewhere) ended.await(LONGEST_END_S, TimeUnit.SECONDS)
    }
}
